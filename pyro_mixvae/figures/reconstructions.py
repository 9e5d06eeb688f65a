"""Data beside what an autoencoder makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .images import Range, draw_montage, in_rows, is_images, montage_size, to_unit
from .planes import dress_plane, plane_of, thinned
from .style import INK, RULE, SMALL, Values, colour, new_figure, titled, to_array


def reconstructions(
    x: Values,
    x_hat: Values,
    *,
    num_columns: int = 12,
    max_images: int = 36,
    value_range: Range = (0.0, 1.0),
    title: str | None = None,
) -> Figure:
    """Data and their reconstructions.

    Images are shown in pairs of rows, the data above. Vectors are shown as points, each joined to its
    reconstruction by a line; beyond two dimensions by the data's first two principal components.

    Args:
        x: data, ``[N, C, H, W]`` with C = 1 or 3, or ``[N, D]``.
        x_hat: their reconstructions, of the same shape.
        num_columns: images in a row.
        max_images: the first so many images are shown.
        value_range: the values that are drawn black and white.
        title: a heading.

    Returns:
        The figure.

    Raises:
        ValueError: if the shapes differ or are others.
    """
    data, guesses = to_array(x), to_array(x_hat)
    if data.shape != guesses.shape:
        raise ValueError(f"x_hat: got shape {guesses.shape} for data of shape {data.shape}")
    if is_images(data):
        above, below = (to_unit(images[:max_images], value_range) for images in (data, guesses))
        return titled(_pairs(above, below, min(num_columns, len(above))), title)
    return titled(_joined_points(data, guesses), title)


def _pairs(data: NDArray[Any], guesses: NDArray[Any], num_columns: int) -> Figure:
    pairs = np.stack([in_rows(data, num_columns), in_rows(guesses, num_columns)], axis=1)
    width, height = montage_size(pairs[:, 0], label_inches=1.4)
    figure = new_figure(width, 2 * height)
    panels = figure.subplots(len(pairs), squeeze=False)[:, 0]
    for axes, pair in zip(panels, pairs, strict=True):
        draw_montage(axes, pair, ("data", "reconstruction"))
    return figure


def _joined_points(data: NDArray[Any], guesses: NDArray[Any]) -> Figure:
    project, names = plane_of(data, "x")
    shown = thinned(len(data), 1500)
    before, after = project(data)[shown], project(guesses)[shown]
    figure = new_figure(5.2, 5.0)
    axes = dress_plane(figure.subplots(), None, names)
    ways = [before[:, 0], after[:, 0]], [before[:, 1], after[:, 1]]
    axes.plot(*ways, color=RULE, linewidth=0.7, zorder=1)
    look: dict[str, Any] = {"s": float(np.clip(4000 / len(shown), 5, 22)), "linewidths": 0.6}
    axes.scatter(before[:, 0], before[:, 1], facecolors="none", edgecolors=INK, label="data", **look)
    axes.scatter(after[:, 0], after[:, 1], color=colour(3), label="reconstruction", **look)
    axes.set_aspect("equal", "datalim")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=SMALL, labelcolor=INK)
    return figure
