"""Densities on the line: a target and what was fitted to it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from .style import INK, PALE, SMALL, Values, colour, dress, line, new_figure, titled, to_array


def density_fits(
    grid: Values,
    target: Values,
    fits: Mapping[str, Values],
    points: Values | None = None,
    *,
    title: str | None = None,
) -> Figure:
    """A density on the line and fits to it, one panel for each.

    Args:
        grid: the places, ``[G]``, growing.
        target: the density there, ``[G]``.
        fits: the fitted density there, ``[G]``, by caption.
        points: the data, ``[N]`` or ``[N, 1]``, shown as a histogram behind.
        title: a heading.

    Returns:
        The figure.

    Raises:
        ValueError: without a fit, or for shapes that do not fit.

    Source:
        Tran, Pantic, Deisenroth, *Cauchy-Schwarz Regularized Autoencoder*, figure 1.
    """
    places, truth = to_array(grid), to_array(target)
    if places.ndim != 1 or len(places) < 2 or truth.shape != places.shape:
        raise ValueError(f"grid, target: got shapes {places.shape} and {truth.shape}; allowed is [G], G from 2, twice")
    if not fits:
        raise ValueError("fits: got none; at least one is needed")
    heights = {name: to_array(values) for name, values in fits.items()}
    for name, values in heights.items():
        if values.shape != places.shape:
            raise ValueError(f"fits: {name!r} has shape {values.shape}, expected {places.shape}")
    figure = new_figure(3.6 * len(heights) + 0.4, 3.1)
    panels = figure.subplots(1, len(heights), sharex=True, sharey=True, squeeze=False)[0]
    for number, (axes, (name, values)) in enumerate(zip(panels, heights.items(), strict=True)):
        dress(axes, name, "$x$", "density")
        if points is not None:
            bins = np.linspace(places[0], places[-1], 61).tolist()
            axes.hist(to_array(points).ravel(), bins, density=True, color=PALE, alpha=0.3, label="data")
        axes.plot(places, truth, color=INK, linewidth=1.2, linestyle=line(1), label="target", zorder=3)
        axes.fill_between(places, values, color=colour(number), alpha=0.15, linewidth=0)
        axes.plot(places, values, color=colour(number), linewidth=2, label="fit")
        axes.set_xlim(places[0], places[-1])
        axes.label_outer()
        axes.legend(frameon=False, fontsize=SMALL, labelcolor=INK, loc="upper right")
    # after all is drawn: the panels share their scale, and a limit that is set stays as it is
    panels[0].set_ylim(bottom=0)
    return titled(figure, title)
