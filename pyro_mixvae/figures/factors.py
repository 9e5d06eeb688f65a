"""What a factorial mixture has found: its bound by size, its components, and its factors crossed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator
from numpy.typing import NDArray

from .images import Range, draw_montage, is_images, montage_size, to_unit
from .style import INK, TEXT, Values, colour, dress, marker, new_figure, ruled, titled, to_array


def bound_by_components(
    num_components: Sequence[int], terms: Mapping[str, Values], *, title: str | None = None
) -> Figure:
    """A bound and its parts against the number of components, on a scale of powers of two, a panel for each.

    Args:
        num_components: K of each model, all different.
        terms: for each panel one value for each model, such as ``bound``, ``kl_z``, ``kl_r``, ``reconstruction``.
        title: a heading.

    Returns:
        The figure.

    Raises:
        ValueError: without a panel, for sizes below 1 or twice the same, or another number of values than models.

    Source:
        Paquet, Ghaisas, Tieleman, figure 3.
    """
    sizes = np.asarray(num_components)
    if sizes.ndim != 1 or not len(sizes) or (sizes < 1).any() or len(set(sizes.tolist())) < len(sizes):
        raise ValueError(f"num_components: got {list(num_components)}; allowed are different integers from 1")
    if not terms:
        raise ValueError("terms: got none; at least one is needed")
    order = sizes.argsort()
    steps = np.log2(sizes[order])
    figure = new_figure(3.2 * len(terms), 3.0)
    row = figure.subplots(1, len(terms), squeeze=False)[0]
    for index, (axes, (name, values)) in enumerate(zip(row, terms.items(), strict=True)):
        heights = to_array(values).astype(float)
        if heights.shape != sizes.shape:
            raise ValueError(f"terms: {name!r} has shape {heights.shape} for {len(sizes)} models")
        ruled(dress(axes, name.replace("_", " "), "log2 K", "nats per datum" if index == 0 else None))
        axes.plot(steps, heights[order], color=colour(index), marker=marker(index), linewidth=1.7)
        axes.xaxis.set_major_locator(FixedLocator(steps.tolist()))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    return titled(figure, title)


def component_rows(
    means: Values,
    variances: Values,
    samples: Values,
    row_labels: Sequence[str] | None = None,
    *,
    value_range: Range = (0.0, 1.0),
    title: str | None = None,
) -> Figure:
    """Components in the space of the data: mean and variance of each one's decoded draws, and some of the draws.

    Args:
        means: images ``[K, C, H, W]`` with C = 1 or 3.
        variances: likewise; each row is scaled to its own greatest, which is drawn white.
        samples: ``[K, n, C, H, W]``.
        row_labels: one word for each component; by default its number.
        value_range: the values of means and samples that are drawn black and white.
        title: a heading.

    Returns:
        The figure.

    Raises:
        ValueError: for other shapes, or another number of labels than components.

    Source:
        Paquet, Ghaisas, Tieleman, figure 4.
    """
    drawn, middle, spread = to_array(samples), to_array(means), to_array(variances)
    if not is_images(drawn, leading=2) or 0 in drawn.shape:
        raise ValueError(f"samples: got shape {drawn.shape}; allowed is [K, n, C, H, W] with C = 1 or 3")
    expected = (len(drawn), *drawn.shape[2:])
    for name, array in {"means": middle, "variances": spread}.items():
        if array.shape != expected:
            raise ValueError(f"{name}: got shape {array.shape}, expected {expected} for these samples")
    greatest = spread.reshape(len(spread), -1).max(1).reshape(-1, 1, 1, 1)
    shares = spread / np.where(greatest > 0, greatest, 1)
    parts: list[NDArray[Any]] = [to_unit(middle, value_range)[:, None], shares[:, None], to_unit(drawn, value_range)]
    pixels = np.concatenate(parts, axis=1)
    names = [str(k) for k in range(len(pixels))] if row_labels is None else row_labels
    width, height = montage_size(pixels)
    figure = new_figure(width, height + 0.3)
    words = ["mean", "var.", *[""] * drawn.shape[1]]
    draw_montage(figure.subplots(), pixels, names, words)
    return titled(figure, title)


def factor_grid(
    images: Values,
    row_name: str = "factor 0",
    column_name: str = "factor 1",
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
    *,
    value_range: Range = (0.0, 1.0),
    title: str | None = None,
) -> Figure:
    """Two factors crossed: an image for each component of the one (row) with each of the other (column).

    Args:
        images: ``[K_i, K_j, C, H, W]`` with C = 1 or 3.
        row_name, column_name: what the factors are called.
        row_labels, column_labels: a word for each component; by default its number.
        value_range: the values that are drawn black and white.
        title: a heading.

    Returns:
        The figure.

    Raises:
        ValueError: for another shape, or another number of labels than components.

    Source:
        Paquet, Ghaisas, Tieleman, figures 1, 6 and 8 to 10.
    """
    array = to_array(images)
    if not is_images(array, leading=2) or 0 in array.shape:
        raise ValueError(f"images: got shape {array.shape}; allowed is [K_i, K_j, C, H, W] with C = 1 or 3")
    rows = [str(k) for k in range(len(array))] if row_labels is None else row_labels
    columns = [str(k) for k in range(array.shape[1])] if column_labels is None else column_labels
    pixels = to_unit(array, value_range)
    width, height = montage_size(pixels)
    figure = new_figure(width, height + 0.5)
    axes = figure.subplots()
    draw_montage(axes, pixels, rows, columns)
    axes.set_ylabel(row_name, fontsize=TEXT, color=INK)
    axes.set_xlabel(column_name, fontsize=TEXT, color=INK)
    axes.xaxis.set_label_position("top")
    return titled(figure, title)
