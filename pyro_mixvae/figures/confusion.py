"""Clusters against labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from .style import INK, SMALL, TEXT, Values, new_figure, titled, to_array


def cluster_confusion(
    matrix: Values,
    class_names: Sequence[str] | None = None,
    *,
    sort: bool = True,
    rows: str = "cluster",
    title: str | None = None,
) -> Figure:
    """How the data of each cluster are shared out over the classes.

    The shade is the share of the cluster's data, the number in a cell their count; empty cells stay blank.

    Args:
        matrix: counts, ``[K, C]``.
        class_names: C words; by default the numbers.
        sort: put the clusters in the order of their most frequent class, empty ones last.
        rows: what the rows are.
        title: a heading.

    Returns:
        The figure.

    Raises:
        ValueError: for another shape, negative counts, or another number of names.
    """
    counts = to_array(matrix)
    if counts.ndim != 2 or 0 in counts.shape or (counts < 0).any():
        raise ValueError(f"matrix: got shape {counts.shape}; allowed are counts from 0, [K, C]")
    num_clusters, num_classes = counts.shape
    names = [str(number) for number in range(num_classes)] if class_names is None else list(class_names)
    if len(names) != num_classes:
        raise ValueError(f"class_names: got {len(names)} for {num_classes} classes")
    totals = counts.sum(axis=1)
    order = np.arange(num_clusters)
    if sort:
        order = np.lexsort((-counts.max(axis=1), counts.argmax(axis=1), totals == 0))
    shares = counts / np.maximum(totals, 1)[:, None]
    long_names = max(map(len, names)) > 4
    figure = new_figure(0.55 * num_classes + 2.2, 0.27 * num_clusters + (1.9 if long_names else 1.2))
    axes = figure.subplots()
    shown = axes.imshow(shares[order], cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, cluster in enumerate(order):
        for column in np.flatnonzero(counts[cluster]):
            shade = "white" if shares[cluster, column] > 0.55 else INK
            axes.text(
                float(column),
                float(row),
                f"{counts[cluster, column]:g}",
                ha="center",
                va="center",
                fontsize=SMALL - 1,
                color=shade,
            )
    axes.set_xticks(range(num_classes), names, rotation=45 if long_names else 0, ha="right" if long_names else "center")
    axes.set_yticks(range(num_clusters), [str(cluster) for cluster in order])
    axes.set_xticks(np.arange(0.5, num_classes - 1), minor=True)
    axes.set_yticks(np.arange(0.5, num_clusters - 1), minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0, labelsize=SMALL, labelcolor=INK)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("class", fontsize=TEXT, color=INK)
    axes.set_ylabel(rows, fontsize=TEXT, color=INK)
    bar = figure.colorbar(
        shown, ax=axes, shrink=min(1.0, 8 / num_clusters), aspect=14, ticks=[0, 0.5, 1], format="{x:.0%}"
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=SMALL, labelcolor=INK)
    bar.set_label(f"share of the {rows}", fontsize=SMALL, color=INK)
    return titled(figure, title)
