"""Points in the plane: vectors of any dimension brought to two, and drawn by group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from .style import PALE, colour, dress, marker, name_at

Plane = tuple[Callable[[NDArray[Any]], NDArray[Any]], tuple[str, str]]
"""A map from vectors ``[N, D]`` to the plane ``[N, 2]``, and what its two axes are called."""

_GOLDEN = 0.6180339887498949
_NAME_DISTANCE = 0.045


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
        raise ValueError(f"{letter}: got shape {vectors.shape}; allowed are finite vectors, [N, D], neither of them 0")
    if vectors.shape[1] == 2:
        return np.asarray, (f"${letter}_1$", f"${letter}_2$")
    if vectors.shape[1] == 1:
        return _spread, (f"${letter}$", "")
    from sklearn.decomposition import PCA

    if len(vectors) < 2:
        raise ValueError(f"{letter}: principal components need at least 2 vectors, got 1")
    with np.errstate(invalid="ignore"):  # all vectors equal: no variance to share out
        found = PCA(2, svd_solver="full").fit(vectors)
    shares = np.nan_to_num(found.explained_variance_ratio_)
    first, second = (f"principal component {n + 1} ({shares[n]:.0%})" for n in range(2))
    return found.transform, (first, second)


def _spread(vectors: NDArray[Any]) -> NDArray[Any]:
    return np.column_stack([vectors[:, 0], (np.arange(len(vectors)) * _GOLDEN) % 1])


def dress_plane(axes: Axes, title: str | None, names: tuple[str, str]) -> Axes:
    """Axes for points in the plane; an axis without a name has no meaning and gets no numbers."""
    dress(axes, title, *names)
    if not names[1]:
        axes.tick_params(left=False, labelleft=False)
    return axes


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
    size = float(np.clip(9000 / len(points), 5, 26))
    style: dict[str, Any] = {"s": size, "alpha": 0.75, "linewidths": 0}
    if groups is None:
        axes.scatter(points[:, 0], points[:, 1], color=colour(0), **style)
        return
    for group in np.unique(groups):
        members = points[groups == group]
        look = {"color": PALE, "alpha": 0.4, "zorder": 0.5}
        if group >= 0:
            look = {"color": colour(group), "marker": marker(group)}
        axes.scatter(members[:, 0], members[:, 1], **(style | look))
    for group, (x, y) in _name_places(points, groups).items():
        name_at(axes, x, y, str(group) if names is None else names[group])


def _name_places(points: NDArray[Any], groups: NDArray[Any]) -> dict[int, tuple[float, float]]:
    """Where each group's name stands: at the member nearest to the group's middle that is clear of the names
    of greater groups."""
    spread = np.ptp(points, axis=0)
    scaled = points / np.where(spread > 0, spread, 1)
    numbers, sizes = np.unique(groups[groups >= 0], return_counts=True)
    taken: dict[int, tuple[float, float]] = {}
    places = np.empty((0, 2))
    for group in numbers[np.argsort(-sizes, kind="stable")]:
        members = scaled[groups == group]
        far = np.linalg.norm(members - np.median(members, axis=0), axis=1)
        apart = np.linalg.norm(members[:, None] - places, axis=2).min(axis=1, initial=np.inf)
        best = np.where(apart > _NAME_DISTANCE, far, far + 1e3).argmin()
        places = np.vstack([places, members[best]])
        x, y = points[groups == group][best]
        taken[int(group)] = (float(x), float(y))
    return taken
