"""Densities in the plane."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from .planes import thinned
from .style import INK, SMALL, TEXT, Values, colour, dress, new_figure, titled, to_array


def density_2d(
    grid: Values,
    log_densities: Mapping[str, Values],
    points: Values | None = None,
    *,
    depth: float = 6.0,
    max_points: int = 5000,
    title: str | None = None,
) -> Figure:
    """Densities of several models over the plane, on one scale, beside the data.

    Args:
        grid: the places, ``[H, W, 2]``: an even grid, the first coordinate growing along W, the second
            along H (``torch.meshgrid(..., indexing="xy")``, stacked).
        log_densities: the log density at these places, ``[H, W]``, by caption; in nats.
        points: data, ``[N, 2]``, shown in a panel of their own.
        depth: how many nats below the greatest log density the palest shade begins.
        max_points: so many data at most are drawn.
        title: a heading.

    Returns:
        The figure.

    Raises:
        ValueError: for shapes that do not fit, or without a finite log density.

    Source:
        Dilokthanakul et al. 2016, figure 2, a to c.
    """
    places = to_array(grid)
    if places.ndim != 3 or places.shape[-1] != 2 or min(places.shape[:2]) < 2:
        raise ValueError(f"grid: got shape {places.shape}; allowed is [H, W, 2] with H, W from 2")
    heights = {name: to_array(values).astype(float) for name, values in log_densities.items()}
    for name, values in heights.items():
        if values.shape != places.shape[:2] or np.isnan(values).any():
            raise ValueError(f"log_densities: {name!r} has shape {values.shape}, expected {places.shape[:2]}, no NaN")
    top = max((float(values.max()) for values in heights.values()), default=-np.inf)
    if not np.isfinite(top):
        raise ValueError("log_densities: at least one with a finite value is needed, and none may be infinite")
    figure = new_figure(3.4 * (len(heights) + (points is not None)) + 0.8, 3.7)
    row = figure.subplots(1, len(heights) + (points is not None), sharex=True, sharey=True, squeeze=False)[0]
    panels = list(row)
    if points is not None:
        axes = dress(panels.pop(0), "data")
        data = to_array(points)
        if data.ndim != 2 or data.shape[1] != 2:
            raise ValueError(f"points: got shape {data.shape}; allowed is [N, 2]")
        few = data[thinned(len(data), max_points)]
        axes.scatter(few[:, 0], few[:, 1], s=2, color=colour(0), alpha=0.5, linewidths=0)
    for axes, (name, values) in zip(panels, heights.items(), strict=True):
        dress(axes, name)
        shown = axes.pcolormesh(
            places[..., 0],
            places[..., 1],
            values,
            cmap="Blues",
            vmin=top - depth,
            vmax=top,
            shading="gouraud",
            rasterized=True,
        )
    for axes in row:
        axes.set_aspect("equal")
        axes.set_xlim(places[..., 0].min(), places[..., 0].max())
        axes.set_ylim(places[..., 1].min(), places[..., 1].max())
        axes.label_outer()
    bar = figure.colorbar(shown, ax=list(row), shrink=0.75, aspect=18, extend="min")
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=SMALL, labelcolor=INK)
    bar.set_label("log density (nats)", fontsize=TEXT, color=INK)
    return titled(figure, title)
