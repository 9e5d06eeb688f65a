"""How codes are spread: the widths of posteriors, and histograms of single axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator
from numpy.typing import NDArray

from .style import INK, PALE, SMALL, Values, colour, dress, line, new_figure, number, titled, to_array


def posterior_spread(
    scales: Values | Mapping[str, Values],
    *,
    num_bins: int = 60,
    title: str | None = None,
) -> Figure:
    """Histograms of the posteriors' standard deviations, on a logarithmic axis: where they pile up, codes collapse.

    Args:
        scales: standard deviations > 0 of any shape, of one model or by name.
        num_bins: bins between the smallest and the greatest.
        title: a heading.

    Returns:
        The figure; a triangle marks the mean of each.

    Raises:
        ValueError: without a value, or for values that are not positive and finite.

    Source:
        Rivera, *How to train your VAE*, section 3.3: the collapse that KL_I prevents.
    """
    models = scales if isinstance(scales, Mapping) else {"": scales}
    values = {name: to_array(given).astype(float).ravel() for name, given in models.items()}
    if not values or any(not len(v) or not (np.isfinite(v).all() and (v > 0).all()) for v in values.values()):
        raise ValueError("scales: got no value, or one that is not positive and finite")
    together = np.concatenate(list(values.values()))
    edges = np.geomspace(together.min() / 1.05, together.max() * 1.05, num_bins + 1)
    figure = new_figure(6.4, 3.4)
    axes = dress(figure.subplots(), None, r"posterior standard deviation $\sigma$", "share of the codes")
    for index, (name, found) in enumerate(values.items()):
        shares = np.histogram(found, edges)[0] / len(found)
        axes.stairs(shares, edges, fill=True, color=colour(index), alpha=0.22)
        axes.stairs(shares, edges, color=colour(index), linestyle=line(index), linewidth=1.6, label=name or None)
        axes.plot(found.mean(), 0, marker=7, markersize=9, color=colour(index), clip_on=False, zorder=3)
    axes.set_xscale("log")
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_major_formatter(plain)
    axes.xaxis.set_minor_formatter(plain if together.max() < 10 * together.min() else NullFormatter())
    axes.set_ylim(0, None)
    axes.set_yticks([])
    axes.axvline(1, color=PALE, linewidth=1, linestyle=":")
    if any(models):
        figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=SMALL, labelcolor=INK)
    return titled(figure, title)


def code_histograms(
    codes: Values | Mapping[str, Values],
    axes: Sequence[int] = (0, 1),
    *,
    num_bins: int = 24,
    title: str | None = None,
) -> Figure:
    """The joint histogram of two codes with the histogram of each beside it.

    Args:
        codes: ``[N, D]``, of one model or by name; several stand side by side on one scale.
        axes: the numbers of the two axes, in 0..D-1.
        num_bins: bins along either axis.
        title: a heading.

    Returns:
        The figure.

    Raises:
        ValueError: for other shapes, values that are not finite, or axes that there are not.

    Source:
        Rivera, *How to train your VAE*, figure 6.
    """
    models = codes if isinstance(codes, Mapping) else {"": codes}
    pairs = {name: _pair(values, axes, name) for name, values in models.items()}
    if not pairs:
        raise ValueError("codes: got no models; at least one is needed")
    reach = max(3.0, *(float(np.quantile(np.abs(pair), 0.995)) for pair in pairs.values()))
    edges = np.linspace(-reach, reach, num_bins + 1)
    figure = new_figure(3.9 * len(pairs) + 0.3, 4.1)
    parts = figure.subfigures(1, len(pairs), squeeze=False)[0]
    for part, (name, pair) in zip(parts, pairs.items(), strict=True):
        _joint(part, pair.clip(edges[0], edges[-1]), edges, axes)
        part.suptitle(name, fontsize=SMALL + 1, color=INK)
    return titled(figure, title)


def _joint(part: Any, pair: NDArray[Any], edges: NDArray[Any], axes: Sequence[int]) -> None:
    grid = part.subplots(
        2, 2, sharex="col", sharey="row", gridspec_kw={"width_ratios": [4, 1], "height_ratios": [1, 4]}
    )
    (above, corner), (joint, beside) = grid
    corner.set_visible(False)
    counts = np.histogram2d(pair[:, 0], pair[:, 1], bins=[edges, edges])[0]
    look = {"cmap": "Blues", "vmin": 0, "rasterized": True}
    joint.pcolormesh(edges, edges, counts.T, **look)
    dress(joint, None, f"$z_{{{axes[0]}}}$", f"$z_{{{axes[1]}}}$")
    joint.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, "g")))
    joint.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, "g")))
    joint.set_box_aspect(1)
    for axis, (panel, orientation) in enumerate([(above, "vertical"), (beside, "horizontal")]):
        shares = np.histogram(pair[:, axis], edges)[0]
        panel.stairs(shares, edges, fill=True, color=colour(0), alpha=0.75, orientation=orientation)
        panel.axis("off")
        panel.xaxis.set_minor_locator(NullLocator())


def _pair(values: Values, axes: Sequence[int], name: str) -> NDArray[Any]:
    array = to_array(values)
    if array.ndim != 2 or not len(array) or not np.isfinite(array).all():
        raise ValueError(f"codes: {name!r} has shape {array.shape}; allowed are finite codes, [N, D]")
    if len(axes) != 2 or not all(0 <= axis < array.shape[1] for axis in axes):
        raise ValueError(f"axes: got {tuple(axes)}; allowed are two of 0..{array.shape[1] - 1}")
    return array[:, list(axes)].astype(float)
