"""What the components of a mixture stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .images import Range, draw_montage, in_rows, is_images, montage_size, to_unit
from .planes import draw_groups, dress_plane, plane_of
from .style import Values, new_figure, number, percent, titled, to_array

_ROWS_TOGETHER = 16


def component_samples(
    samples: Values,
    usage: Values | None = None,
    *,
    numbers: Values | None = None,
    value_range: Range = (0.0, 1.0),
    title: str | None = None,
) -> Figure:
    """Samples of each component: a row of images with its number, or a cloud of points.

    Args:
        samples: ``[K, n, C, H, W]`` with C = 1 or 3, or vectors ``[K, n, D]``.
        usage: ``[K]``, the weight of each component or the share of the data that it takes, in [0, 1];
            written beside its number.
        numbers: ``[K]``, the components' numbers; by default 0 to K - 1.
        value_range: the values that are drawn black and white.
        title: a heading.

    Returns:
        The figure; more than 16 components of images stand in several columns of rows.

    Raises:
        ValueError: for other shapes.

    Source:
        Dilokthanakul et al. 2016, figures 5a and 6; Tran et al. 2021, figure 7.
    """
    array = to_array(samples)
    if array.ndim < 3 or 0 in array.shape:
        raise ValueError(f"samples: got shape {array.shape}; allowed are [K, n, C, H, W] and [K, n, D]")
    names = [str(k) for k in (range(len(array)) if numbers is None else to_array(numbers))]
    if len(names) != len(array):
        raise ValueError(f"numbers: got {len(names)} for {len(array)} components")
    if usage is not None:
        shares = to_array(usage)
        if shares.shape != (len(array),):
            raise ValueError(f"usage: got shape {shares.shape} for {len(array)} components")
        names = [f"{name}  ({percent(float(share))})" for name, share in zip(names, shares, strict=True)]
    if is_images(array, leading=2):
        return titled(_rows(to_unit(array, value_range), names), title)
    return titled(_clouds(array), title)


def style_traversal(
    images: Values,
    steps: Values | None = None,
    row_labels: Sequence[str] | None = None,
    *,
    value_range: Range = (0.0, 1.0),
    title: str | None = None,
) -> Figure:
    """Images along a path through the style variable, one row for each component or direction.

    Args:
        images: ``[R, S, C, H, W]``, R rows of S steps; C is 1 or 3.
        steps: ``[S]``, the value of the style variable at each step, written above its column.
        row_labels: one word for each row; by default its number.
        value_range: the values that are drawn black and white.
        title: a heading.

    Returns:
        The figure.

    Raises:
        ValueError: for other shapes, or labels that are too many or too few.

    Source:
        Dilokthanakul et al. 2016, figure 5b.
    """
    array = to_array(images)
    if not is_images(array, leading=2):
        raise ValueError(f"images: got shape {array.shape}; allowed is [R, S, C, H, W] with C = 1 or 3")
    rows = [str(row) for row in range(len(array))] if row_labels is None else row_labels
    # six digits: the middle of linspace(-2, 2, 11) is -3e-08, and its name is 0
    columns = None if steps is None else [number(round(float(step), 6) + 0.0) for step in to_array(steps)]
    pixels = to_unit(array, value_range)
    width, height = montage_size(pixels)
    figure = new_figure(width, height + (0.25 if columns else 0))
    draw_montage(figure.subplots(), pixels, rows, columns)
    return titled(figure, title)


def _rows(pixels: NDArray[Any], names: Sequence[str]) -> Figure:
    num_columns = -(-len(pixels) // _ROWS_TOGETHER)
    together = -(-len(pixels) // num_columns)
    width, height = montage_size(pixels[:together], label_inches=1.2)
    figure = new_figure(width * num_columns, height)
    blocks = in_rows(pixels, together)
    for place, axes in enumerate(figure.subplots(1, num_columns, squeeze=False)[0]):
        words = names[place * together : (place + 1) * together]
        draw_montage(axes, blocks[place], [*words, *[""] * (together - len(words))])
    return figure


def _clouds(samples: NDArray[Any]) -> Figure:
    vectors = samples.reshape(len(samples) * samples.shape[1], -1)
    project, axis_names = plane_of(vectors, "x")
    figure = new_figure(5.2, 5.0)
    axes = dress_plane(figure.subplots(), None, axis_names)
    draw_groups(axes, project(vectors), np.arange(len(samples)).repeat(samples.shape[1]))
    axes.set_aspect("equal", "datalim")
    return figure
