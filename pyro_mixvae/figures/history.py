"""Curves over the epochs of training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from .style import (
    INK,
    SMALL,
    Values,
    colour,
    dress,
    line,
    new_figure,
    number,
    ruled,
    series_epochs,
    titled,
    to_array,
)

Scale = Literal["linear", "log", "symlog"]


def objective_terms(
    history: Mapping[str, Values | Mapping[str, Values]],
    epochs: Values | None = None,
    *,
    scale: Scale | Mapping[str, Scale] = "linear",
    unit: str = "nats per datum",
    num_columns: int = 3,
    title: str | None = None,
) -> Figure:
    """The terms of an objective over time, a small panel for each, with a scale of its own.

    Args:
        history: for each term its values, one for each epoch; or several series by name, such as
            ``{"train": ..., "validation": ...}``. NaN leaves a gap.
        epochs: the epochs of the values; by default 1, 2, ...
        scale: of the values: ``"linear"``, ``"log"`` (all values must be positive), ``"symlog"``; one for all
            or by term.
        unit: of the values.
        num_columns: panels in a row.
        title: a heading.

    Returns:
        The figure.

    Raises:
        ValueError: without a term, for series that do not fit the epochs, for a scale that does not exist
            or does not fit the values.
    """
    if not history:
        raise ValueError("history: got no terms; at least one is needed")
    num_columns = min(num_columns, len(history))
    num_rows = -(-len(history) // num_columns)
    figure = new_figure(3.4 * num_columns, 2.4 * num_rows + 0.3)
    panels = figure.subplots(num_rows, num_columns, squeeze=False)
    names: dict[str, Artist] = {}
    for place, (term, values) in enumerate(history.items()):
        axes = panels.flat[place]
        series = values if isinstance(values, Mapping) else {"": values}
        last_row = place + num_columns >= len(history)
        dress(
            axes,
            term.replace("_", " "),
            "epoch" if last_row else None,
            unit if place % num_columns == 0 else None,
        )
        for index, (name, points) in enumerate(series.items()):
            heights = _series(points, term)
            ends = series_epochs(epochs, len(heights), term)
            names.setdefault(name, _curve(axes, ends, heights, index))
        _set_scale(axes, scale if isinstance(scale, str) else scale.get(term, "linear"), series, term)
    for axes in panels.flat[len(history) :]:
        axes.set_visible(False)
    if names.keys() != {""}:
        words = {name: handle for name, handle in names.items() if name}
        figure.legend(
            list(words.values()),
            list(words.keys()),
            loc="outside lower center",
            ncols=len(words),
            frameon=False,
            fontsize=SMALL,
            labelcolor=INK,
        )
    return titled(figure, title)


def prior_term(
    history: Mapping[str, Values] | Values,
    floor: float | Mapping[str, float] | None = None,
    epochs: Values | None = None,
    *,
    title: str | None = None,
) -> Figure:
    """The c-prior term over time, with the floor of the minimum-information constraint.

    Args:
        history: the term at each epoch, in nats per datum, in the sign that it is logged in; by caption for
            several panels on one scale.
        floor: where to draw the dotted line, in the same sign; one for all panels or by caption.
        epochs: the epochs of the values; by default 1, 2, ...
        title: a heading.

    Returns:
        The figure.

    Raises:
        ValueError: without a panel, or for series that do not fit the epochs.

    Source:
        Dilokthanakul et al. 2016, figure 3 (there the z-prior term), equations 6 and 7.
    """
    panels = history if isinstance(history, Mapping) else {"": history}
    if not panels:
        raise ValueError("history: got no panels; at least one is needed")
    figure = new_figure(4.2 * len(panels), 3.0)
    row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for place, (axes, (caption, values)) in enumerate(zip(row, panels.items(), strict=True)):
        heights = _series(values, caption)
        dress(axes, caption, "epoch", "c-prior term (nats per datum)" if place == 0 else None)
        _curve(axes, series_epochs(epochs, len(heights), caption), heights, 0)
        level = floor.get(caption) if isinstance(floor, Mapping) else floor
        if level is not None:
            axes.axhline(level, color=INK, linestyle=":", linewidth=1.3)
            axes.annotate(
                f"floor {number(level, '.2f')}",
                (1, level),
                xycoords=("axes fraction", "data"),
                xytext=(-2, 3),
                textcoords="offset points",
                ha="right",
                fontsize=SMALL,
                color=INK,
            )
    return titled(figure, title)


def accuracy_curves(
    curves: Mapping[str, Values],
    epochs: Values | None = None,
    *,
    y: str = "clustering accuracy",
    title: str | None = None,
) -> Figure:
    """Accuracy over time, one curve for each setting; over several runs their mean and their range.

    Args:
        curves: accuracies in [0, 1] by setting, ``[E]`` or ``[runs, E]``; NaN leaves a gap.
        epochs: ``[E]``; by default 1, 2, ...
        y: what is shown.
        title: a heading.

    Returns:
        The figure.

    Raises:
        ValueError: without a curve, or for shapes that do not fit.

    Source:
        Dilokthanakul et al. 2016, figure 4.
    """
    if not curves:
        raise ValueError("curves: got none; at least one is needed")
    figure = new_figure(6.2, 3.8)
    axes = ruled(dress(figure.subplots(), None, "epoch", y))
    for index, (name, values) in enumerate(curves.items()):
        runs = np.atleast_2d(to_array(values))
        if runs.ndim != 2 or 0 in runs.shape:
            raise ValueError(f"curves: {name!r} has shape {runs.shape}; allowed are [E] and [runs, E]")
        ends = series_epochs(epochs, runs.shape[1], name)
        if len(runs) > 1:
            axes.fill_between(ends, runs.min(axis=0), runs.max(axis=0), color=colour(index), alpha=0.15, lw=0)
        _curve(axes, ends, runs.mean(axis=0), index, name)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    figure.legend(loc="outside right center", frameon=False, fontsize=SMALL, labelcolor=INK, handlelength=3)
    return titled(figure, title)


def _series(values: Values, name: str) -> NDArray[Any]:
    heights = to_array(values).astype(float)
    if heights.ndim != 1 or not len(heights):
        raise ValueError(f"history: {name!r} has shape {heights.shape}; allowed is one value for each epoch")
    return heights


def _curve(axes: Axes, epochs: NDArray[Any], heights: NDArray[Any], index: int, name: str | None = None) -> Artist:
    dot = "o" if len(heights) == 1 else None
    style: dict[str, Any] = {
        "color": colour(index),
        "linestyle": line(index),
        "linewidth": 1.7,
        "marker": dot,
        "label": name,
    }
    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True, steps=[1, 2, 2.5, 5, 10]))
    return ruled(axes).plot(epochs, heights, **style)[0]


def _set_scale(axes: Axes, scale: str, series: Mapping[str, Values], term: str) -> None:
    if scale not in ("linear", "log", "symlog"):
        raise ValueError(f"scale: got {scale!r} for {term!r}; allowed are 'linear', 'log', 'symlog'")
    if scale == "log" and any((_series(values, term) <= 0).any() for values in series.values()):
        raise ValueError(f"scale: 'log' for {term!r}, which has values that are not positive; try 'symlog'")
    if scale != "linear":
        axes.set_yscale(scale)
