"""What the encoders and sub-decoders of a mixture of autoencoders do, each by itself and together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from .images import Range, draw_montage, is_images, montage_size, to_unit
from .style import INK, SMALL, TEXT, Values, colour, dress, line, new_figure, ruled, series_epochs, titled, to_array


def component_views(
    x: Values,
    by_component: Values,
    mixture: Values | None = None,
    *,
    max_images: int = 12,
    value_range: Range = (0.0, 1.0),
    title: str | None = None,
) -> Figure:
    """Data, what each component makes of them by itself, and what all make of them together: a row each.

    Args:
        x: images, ``[N, C, H, W]`` with C = 1 or 3.
        by_component: ``[K, N, C, H, W]``.
        mixture: ``[N, C, H, W]``, or ``None`` for no such row.
        max_images: columns at most.
        value_range: the values that are drawn black and white.
        title: a heading.

    Returns:
        The figure.

    Raises:
        ValueError: for shapes that do not fit.

    Source:
        Ye, Bors, *Deep Mixture Generative Autoencoders*, figure 2.
    """
    data, views = to_array(x), to_array(by_component)
    _check_images("by_component", views, 2)
    both = [data] if mixture is None else [data, to_array(mixture)]
    if any(rows.shape != views.shape[1:] for rows in both):
        raise ValueError(f"x: got shapes {[rows.shape for rows in both]} for views of shape {views.shape}")
    rows = [data, *views, *both[1:]]
    names = ["data", *(f"component {k}" for k in range(len(views))), "mixture"]
    pixels = np.stack([to_unit(row[:max_images], value_range) for row in rows])
    figure = new_figure(*montage_size(pixels, label_inches=1.3))
    draw_montage(figure.subplots(), pixels, names[: len(rows)])
    return titled(figure, title)


def crossed_components(images: Values, *, value_range: Range = (0.0, 1.0), title: str | None = None) -> Figure:
    """One datum through every pair of an encoder (row) and a sub-decoder (column).

    Args:
        images: ``[K, K, C, H, W]`` with C = 1 or 3.
        value_range: the values that are drawn black and white.
        title: a heading.

    Returns:
        The figure.

    Raises:
        ValueError: for another shape.

    Source:
        Ye, Bors, figure 3.
    """
    array = to_array(images)
    _check_images("images", array, 2)
    if len(array) != array.shape[1]:
        raise ValueError(f"images: got shape {array.shape}; allowed are as many encoders as sub-decoders")
    pixels, names = to_unit(array, value_range), [str(k) for k in range(len(array))]
    width, height = montage_size(pixels)
    figure = new_figure(width, height + 0.5)
    axes = figure.subplots()
    draw_montage(axes, pixels, names, names)
    axes.set_ylabel("encoder", fontsize=TEXT, color=INK)
    axes.set_xlabel("sub-decoder", fontsize=TEXT, color=INK)
    axes.xaxis.set_label_position("top")
    return titled(figure, title)


def interpolations(
    path: Values,
    first: Values,
    second: Values,
    *,
    value_range: Range = (0.0, 1.0),
    title: str | None = None,
) -> Figure:
    """What lies between two data, a row for each pair; the data themselves stand at its ends, set apart.

    Args:
        path: ``[S, N, C, H, W]``, S steps between N pairs; C is 1 or 3.
        first, second: the pairs, ``[N, C, H, W]``.
        value_range: the values that are drawn black and white.
        title: a heading.

    Returns:
        The figure.

    Raises:
        ValueError: for shapes that do not fit.

    Source:
        Ye, Bors, figures 6 and 7.
    """
    steps, ends = to_array(path), [to_array(first), to_array(second)]
    _check_images("path", steps, 2)
    if any(end.shape != steps.shape[1:] for end in ends):
        raise ValueError(f"first, second: got shapes {[end.shape for end in ends]} for a path of shape {steps.shape}")
    between = to_unit(steps, value_range).swapaxes(0, 1)
    outer = [to_unit(end, value_range)[:, None] for end in ends]
    blank = np.full_like(outer[0], np.nan)
    pixels = np.concatenate([outer[0], blank, between, blank, outer[1]], axis=1)
    names = ["data", "", *[""] * len(steps), "", "data"]
    names[2], names[-3] = "from", "to"
    width, height = montage_size(pixels)
    figure = new_figure(width, height + 0.25)
    draw_montage(figure.subplots(), pixels, None, names)
    return titled(figure, title)


def dependence_matrix(matrices: Values | Mapping[str, Values], *, title: str | None = None) -> Figure:
    """How far the codes of each pair of components depend on each other, as heat maps with their numbers.

    Args:
        matrices: ``[K, K]``, or several by caption, on one scale.
        title: a heading.

    Returns:
        The figure; the shade goes up to the greatest value between different components, and the diagonal, of a
        component with itself, is grey.

    Raises:
        ValueError: without a matrix, or for one that is not square.

    Source:
        Ye, Bors, figure 12.
    """
    given = matrices if isinstance(matrices, Mapping) else {"": matrices}
    panels = {caption: to_array(matrix).astype(float) for caption, matrix in given.items()}
    if not panels or any(m.ndim != 2 or m.shape[0] != m.shape[1] or not m.size for m in panels.values()):
        raise ValueError(f"matrices: got shapes {[m.shape for m in panels.values()]}; allowed are [K, K], one or more")
    count = max(len(matrix) for matrix in panels.values())
    top = max((matrix[~np.eye(len(matrix), dtype=bool)].max(initial=0) for matrix in panels.values()), default=0)
    side = 0.62 * max(count, 3)
    figure = new_figure(len(panels) * (side + 0.5) + 1.4, side + 1.25)
    row = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (caption, matrix) in zip(row, panels.items(), strict=True):
        own = np.eye(len(matrix), dtype=bool)
        shown = axes.imshow(np.where(own, np.nan, matrix), cmap="Blues", vmin=0, vmax=top or 1)
        axes.set_facecolor("#F0F0F0")
        for (i, j), value in np.ndenumerate(matrix):
            shade = "white" if not own[i, j] and value > 0.6 * top else INK
            axes.text(j, i, f"{value:.3f}", ha="center", va="center", fontsize=SMALL, color=shade)
        dress(axes, caption, "component", "component")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        axes.set_xticks(range(len(matrix)))
        axes.set_yticks(range(len(matrix)))
        axes.label_outer()
    bar = figure.colorbar(shown, ax=list(row), shrink=0.9, aspect=16)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=SMALL, labelcolor=INK)
    bar.set_label("dHSIC", fontsize=SMALL, color=INK)
    return titled(figure, title)


def selection_curves(
    selected: Values,
    rates: Values | Mapping[str, Values],
    num_components: int,
    epochs: Values | None = None,
    *,
    title: str | None = None,
) -> Figure:
    """How many components are selected, and at which dropout rates, over the training.

    Args:
        selected: selected K at each epoch, ``[E]``.
        rates: the dropout rate at each epoch, ``[E]``; or several by name.
        num_components: K, drawn as a dotted line.
        epochs: ``[E]``; by default 1, 2, ...
        title: a heading.

    Returns:
        The figure.

    Raises:
        ValueError: for series that are not one value for each epoch.

    Source:
        Ye, Bors, figures 15 and 16.
    """
    counts = _series(selected, "selected")
    ends = series_epochs(epochs, len(counts), "selected")
    named: Mapping[str, Any] = rates if isinstance(rates, Mapping) else {"": rates}
    figure = new_figure(9.2, 3.3)
    left, right = figure.subplots(1, 2)
    ruled(dress(left, "selected components", "epoch", None))
    left.plot(ends, counts, color=colour(0), linewidth=1.7)
    left.axhline(num_components, color=INK, linestyle=":", linewidth=1.2)
    left.set_ylim(0, num_components * 1.08)
    ruled(dress(right, "dropout rate", "epoch", None))
    for index, (name, values) in enumerate(named.items()):
        points = _series(values, name)
        right.plot(
            series_epochs(epochs, len(points), name), points, color=colour(index), ls=line(index), lw=1.7, label=name
        )
    right.set_ylim(0, max(0.5, *(float(np.nanmax(_series(values, name))) for name, values in named.items())) * 1.05)
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(7, integer=True, steps=[1, 2, 2.5, 5, 10]))
    left.yaxis.set_major_locator(MaxNLocator(7, integer=True))
    if named.keys() != {""}:
        figure.legend(loc="outside right center", frameon=False, fontsize=SMALL, labelcolor=INK, handlelength=3)
    return titled(figure, title)


def _check_images(name: str, array: NDArray[Any], leading: int) -> None:
    if not is_images(array, leading) or 0 in array.shape:
        stars = "S, N" if name == "path" else "K, K" if name == "images" else "K, N"
        raise ValueError(f"{name}: got shape {array.shape}; allowed is [{stars}, C, H, W] with C = 1 or 3")


def _series(values: Values, name: str) -> NDArray[Any]:
    heights = to_array(values).astype(float)
    if heights.ndim != 1 or not len(heights):
        raise ValueError(f"rates: {name!r} has shape {heights.shape}; allowed is one value for each epoch")
    return heights
