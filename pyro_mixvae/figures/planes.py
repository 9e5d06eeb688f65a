"""Points in the plane: vectors of any dimension brought to two, and drawn by group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from .style import PALE, colour, marker, name_at

Plane = tuple[Callable[[NDArray[Any]], NDArray[Any]], tuple[str, str]]
"""A map from vectors ``[N, D]`` to the plane ``[N, 2]``, and what its two axes are called."""

_GOLDEN = 0.6180339887498949


def plane_of(vectors: NDArray[Any], letter: str = "z") -> Plane:
    """How vectors like these are shown in the plane.

    Two dimensions are shown as they are, more by the first two principal components (scikit-learn), one
    against an even spread without meaning.

    Args:
        vectors: ``[N, D]``, finite.
        letter: what one vector is called, for the axes.

    Raises:
        ValueError: if the shape is another or a value is not finite.
    """
    if vectors.ndim != 2 or 0 in vectors.shape or not np.isfinite(vectors).all():
        raise ValueError(
            f"{letter}: got shape {vectors.shape}; allowed are finite vectors, [N, D], neither of them 0"
        )
    if vectors.shape[1] == 2:
        return np.asarray, (f"{letter}$_1$", f"{letter}$_2$")
    if vectors.shape[1] == 1:
        return _spread, (letter, "")
    from sklearn.decomposition import PCA

    if len(vectors) < 2:
        raise ValueError(f"{letter}: principal components need at least 2 vectors, got 1")
    found = PCA(2, svd_solver="full").fit(vectors)
    shares = np.nan_to_num(found.explained_variance_ratio_)
    first, second = (f"principal component {n + 1} ({shares[n]:.0%})" for n in range(2))
    return found.transform, (first, second)


def _spread(vectors: NDArray[Any]) -> NDArray[Any]:
    return np.column_stack([vectors[:, 0], (np.arange(len(vectors)) * _GOLDEN) % 1])


def thinned(num_points: int, most: int) -> NDArray[np.int64]:
    """Which points to draw, evenly spread over all of them, so that a plot stays light."""
    return np.linspace(0, num_points - 1, min(num_points, most)).round().astype(np.int64)


def draw_groups(
    axes: Axes, points: NDArray[Any], groups: NDArray[Any] | None, names: Sequence[str] | None = None
) -> None:
    """Draw points ``[N, 2]``, each group in its colour and mark, with its name at the group's middle.

    Args:
        axes: where to draw.
        points: ``[N, 2]``.
        groups: ``[N]`` integers; -1 (missing) is drawn pale and without a name. ``None``: one nameless group.
        names: the name of each group; by default its number.
    """
    size = float(np.clip(6000 / len(points), 4, 22))
    style: dict[str, Any] = {"s": size, "alpha": 0.75, "linewidths": 0.2, "edgecolors": "white"}
    if groups is None:
        axes.scatter(points[:, 0], points[:, 1], color=colour(0), **style)
        return
    for group in np.unique(groups):
        members = points[groups == group]
        if group < 0:
            pale = {**style, "color": PALE, "zorder": 0.5, "alpha": 0.4}
            axes.scatter(members[:, 0], members[:, 1], **pale)
        else:
            look = {**style, "color": colour(group), "marker": marker(group)}
            axes.scatter(members[:, 0], members[:, 1], **look)
    for group in np.unique(groups[groups >= 0]):
        members = points[groups == group]
        middle = np.median(members, axis=0)
        nearest = members[np.square(members - middle).sum(axis=1).argmin()]
        name_at(axes, nearest[0], nearest[1], str(group) if names is None else names[group])
