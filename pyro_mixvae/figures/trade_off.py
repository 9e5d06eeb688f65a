"""Reconstructions and latent codes side by side for several weights of a divergence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from .planes import dress_plane, thinned
from .style import RULE, Values, colour, dress, marker, new_figure, titled, to_array


def weight_panels(
    reconstructions: Mapping[str, Values],
    codes: Mapping[str, Values],
    labels: Values | None = None,
    x: Values | None = None,
    prior_means: Values | None = None,
    *,
    rows: Sequence[str] = ("reconstructions", "latent codes"),
    max_points: int = 1500,
    title: str | None = None,
) -> Figure:
    """Two rows of panels in the plane, one column for each weight: what is reconstructed, and from which codes.

    Args:
        reconstructions: ``[N, 2]`` by caption.
        codes: ``[N, 2]`` for the same captions.
        labels: ``[N]`` integers, shown by colour.
        x: the data, ``[N, 2]``, shown pale behind the reconstructions.
        prior_means: ``[K, 2]``, marked by crosses among the codes.
        rows: what the two rows are called.
        max_points: so many points at most are drawn in a panel.
        title: a heading.

    Returns:
        The figure; each panel has a scale of its own.

    Raises:
        ValueError: without a panel, for different captions, or for points that do not lie in the plane.

    Source:
        Tran, Pantic, Deisenroth, *Cauchy-Schwarz Regularized Autoencoder*, figure 2.
    """
    if not codes or list(codes) != list(reconstructions):
        raise ValueError(f"codes: got {list(codes)} and reconstructions {list(reconstructions)}; allowed are the same")
    figure = new_figure(2.25 * len(codes) + 0.5, 4.9)
    grid = figure.subplots(2, len(codes), squeeze=False)
    letters = ("x", "z")
    for row, points_by_name in enumerate((reconstructions, codes)):
        for axes, (name, values) in zip(grid[row], points_by_name.items(), strict=True):
            points = to_array(values)
            if points.ndim != 2 or points.shape[1] != 2:
                raise ValueError(f"{rows[row]}: {name!r} has shape {points.shape}; allowed is [N, 2]")
            shown = thinned(len(points), max_points)
            dress_plane(axes, name if row == 0 else None, (f"${letters[row]}_1$", f"${letters[row]}_2$"))
            if row == 0 and x is not None:
                data = to_array(x)
                axes.scatter(*data[thinned(len(data), max_points)].T, s=4, color=RULE, linewidths=0, zorder=0.5)
            groups = to_array(labels)[shown] if labels is not None else shown * 0
            for group in sorted(set(groups.tolist())):
                members = points[shown][groups == group]
                axes.scatter(*members.T, s=4, color=colour(group), alpha=0.6, linewidths=0, marker=marker(0))
            if row == 1 and prior_means is not None:
                axes.scatter(*to_array(prior_means).T, s=55, marker="+", color="black", linewidths=1.3, zorder=3)
            axes.set_aspect("equal", "datalim")
            axes.set_box_aspect(1)
        dress(grid[row][0], None, None, f"{rows[row]}\n${letters[row]}_2$")
        for axes in grid[row][1:]:
            axes.set_ylabel("")
    return titled(figure, title)
