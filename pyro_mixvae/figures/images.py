"""Images side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .style import INK, SMALL, Values, new_figure, titled, to_array

_TILE_PIXELS = 56
_GAP = 4
_CELL_INCHES = 0.56

Range = tuple[float, float]
"""The values that are drawn black and white."""


def image_grid(
    images: Values,
    row_labels: Sequence[str] | None = None,
    title: str | None = None,
    *,
    num_columns: int | None = None,
    value_range: Range = (0.0, 1.0),
) -> Figure:
    """Images in rows and columns.

    Args:
        images: ``[N, C, H, W]``, filled in row by row, or ``[R, n, C, H, W]``, R rows of n; C is 1 or 3.
            ``uint8`` values are taken as v/255.
        row_labels: one word for each row.
        title: a heading.
        num_columns: images in a row where ``images`` is ``[N, C, H, W]``; by default as wide as high.
        value_range: the values that are drawn black and white; what lies beyond is clipped.

    Returns:
        The figure.

    Raises:
        ValueError: for other shapes, or another number of labels than rows.
    """
    pixels = to_unit(images, value_range)
    if pixels.ndim == 4:
        pixels = in_rows(pixels, num_columns or int(np.ceil(np.sqrt(len(pixels)))))
    figure = new_figure(*montage_size(pixels))
    draw_montage(figure.subplots(), pixels, row_labels)
    return titled(figure, title)


def is_images(values: Values, leading: int = 1) -> bool:
    """Whether the values are images, ``[*leading, C, H, W]`` with one or three channels."""
    shape = to_array(values).shape
    return len(shape) == leading + 3 and shape[leading] in (1, 3)


def to_unit(images: Values, value_range: Range) -> NDArray[Any]:
    """Pixel values as numbers from 0 (black) to 1 (white): ``uint8`` divided by 255, others by their range.

    Raises:
        ValueError: for an empty range.
    """
    low, high = value_range
    if not low < high:
        raise ValueError(f"value_range: got {value_range}; allowed is (low, high) with low < high")
    array = to_array(images)
    if array.dtype == np.uint8:
        return array.astype(np.float32) / 255
    return ((array.astype(np.float32) - low) / (high - low)).clip(0, 1)


def in_rows(pixels: NDArray[Any], num_columns: int) -> NDArray[Any]:
    """Images ``[N, C, H, W]`` as ``[R, num_columns, C, H, W]``; places left over hold NaN (white)."""
    if not len(pixels) or num_columns < 1:
        raise ValueError(f"images: got shape {pixels.shape} for {num_columns} columns; at least one of each")
    num_rows = -(-len(pixels) // num_columns)
    missing = num_rows * num_columns - len(pixels)
    padded = np.pad(pixels, [(0, missing)] + [(0, 0)] * (pixels.ndim - 1), constant_values=np.nan)
    return padded.reshape(num_rows, num_columns, *pixels.shape[1:])


def montage_size(pixels: NDArray[Any], label_inches: float = 0.9) -> tuple[float, float]:
    """Width and height in inches of a figure that holds the montage of ``[R, n, C, H, W]``.

    Raises:
        ValueError: for another shape.
    """
    if pixels.ndim != 5 or 0 in pixels.shape or pixels.shape[2] not in (1, 3):
        raise ValueError(f"images: got shape {pixels.shape}; allowed are [N, C, H, W], [R, n, C, H, W], C = 1 or 3")
    rows, columns, _, height, width = pixels.shape
    return max(2.5, columns * _CELL_INCHES + label_inches), max(1.2, rows * _CELL_INCHES * height / width + 0.5)


def draw_montage(
    axes: Axes,
    pixels: NDArray[Any],
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
) -> None:
    """Draw images as one picture, with words beside its rows and above its columns.

    Args:
        axes: where to draw.
        pixels: ``[R, n, C, H, W]`` with C = 1 or 3, from 0 (black) to 1 (white); NaN is white.
        row_labels: R words.
        column_labels: n words.

    Raises:
        ValueError: for another number of labels than rows or columns.
    """
    rows, columns, _, height, width = pixels.shape
    enlarged = max(1, round(_TILE_PIXELS / max(height, width)))
    tall, wide = height * enlarged + _GAP, width * enlarged + _GAP
    tiles = np.nan_to_num(pixels, nan=1.0).repeat(enlarged, axis=3).repeat(enlarged, axis=4)
    canvas = np.ones((rows, tall, columns, wide, 3), np.float32)
    canvas[:, :-_GAP, :, :-_GAP] = tiles.transpose(0, 3, 1, 4, 2)
    picture = canvas.reshape(rows * tall, columns * wide, 3)[:-_GAP, :-_GAP]
    axes.imshow(picture, interpolation="nearest", aspect="equal")
    axes.spines[:].set_visible(False)
    axes.set_xticks([])
    axes.set_yticks([])
    if row_labels is not None:
        _check_labels("row_labels", row_labels, rows)
        axes.set_yticks(np.arange(rows) * tall + (tall - _GAP) / 2, row_labels)
    if column_labels is not None:
        _check_labels("column_labels", column_labels, columns)
        axes.set_xticks(np.arange(columns) * wide + (wide - _GAP) / 2, column_labels)
        axes.xaxis.tick_top()
    axes.tick_params(length=0, labelsize=SMALL, labelcolor=INK)


def _check_labels(name: str, labels: Sequence[str], expected: int) -> None:
    if len(labels) != expected:
        raise ValueError(f"{name}: got {len(labels)} for {expected}")
