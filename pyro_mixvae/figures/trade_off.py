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


def trade_off(
    series: Mapping[str, Sequence[float]],
    positions: Sequence[float] | None,
    names: Sequence[str],
    chosen: int | None = None,
    *,
    option: str = "value",
    num_columns: int = 3,
    title: str | None = None,
) -> Figure:
    """Numbers of several trainings against the value of the option that they differ in, a small panel for each.

    Args:
        series: for each number its values, one for each training; NaN leaves a gap.
        positions: the option's values where they are numbers; they are drawn on a logarithmic axis if all are
            positive and the largest is ten times the smallest or more.
        names: the values as they are written.
        chosen: which one was chosen; a line marks it.
        option: what the axis is called.
        num_columns: panels in a row.
        title: a heading.

    Returns:
        The figure.

    Raises:
        ValueError: without a panel, or for series of another length than the names.

    Source:
        Tran, Pantic, Deisenroth, *Cauchy-Schwarz Regularized Autoencoder*, figure 3.
    """
    if not series or any(len(values) != len(names) for values in series.values()):
        sizes = [len(values) for values in series.values()]
        raise ValueError(f"series: got lengths {sizes} for {len(names)} values; allowed is one number for each")
    places = list(range(len(names))) if positions is None else list(positions)
    logarithmic = positions is not None and min(places) > 0 and max(places) >= 10 * min(places)
    num_columns = min(num_columns, len(series))
    num_rows = -(-len(series) // num_columns)
    figure = new_figure(3.3 * num_columns, 2.5 * num_rows + 0.3)
    panels = figure.subplots(num_rows, num_columns, squeeze=False)
    order = sorted(range(len(places)), key=lambda number: places[number])
    for place, (name, values) in enumerate(series.items()):
        axes = dress(panels.flat[place], name.replace("_", " "), option if place + num_columns >= len(series) else None)
        axes.plot([places[n] for n in order], [values[n] for n in order], color=colour(0), marker="o", ms=4, lw=1.5)
        if chosen is not None:
            axes.axvline(places[chosen], color=colour(3), linestyle="--", linewidth=1.2)
        if logarithmic:
            axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xticks(places, names, rotation=45 if len(names) > 6 else 0)
    for axes in panels.flat[len(series) :]:
        axes.set_visible(False)
    return titled(figure, title)
