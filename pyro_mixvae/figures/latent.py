"""The latent space as points in the plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .planes import draw_groups, dress_plane, plane_of, thinned
from .style import Values, new_figure, titled, to_array


def latent_space(
    z: Values,
    labels: Values | None = None,
    components: Values | None = None,
    class_names: Sequence[str] | None = None,
    *,
    max_points: int = 4000,
    title: str | None = None,
) -> Figure:
    """Codes coloured by mixture component and, beside it, by label.

    Args:
        z: codes, ``[N, D]``: as they are for D = 2, else by their first two principal components.
        labels: ``[N]`` integers, -1 for a missing one.
        components: ``[N]`` integers, the component of each code, or responsibilities ``[N, K]``.
        class_names: what the labels are called; by default their numbers.
        max_points: so many codes at most are drawn, evenly spread over the data.
        title: a heading.

    Returns:
        The figure, with one panel for each of ``components`` and ``labels`` that is given.

    Raises:
        ValueError: for shapes that do not fit.
    """
    codes = to_array(z)
    project, names = plane_of(codes)
    shown = thinned(len(codes), max_points)
    points = project(codes)[shown]
    panels: list[tuple[str | None, NDArray[Any] | None, Sequence[str] | None]] = []
    if components is not None:
        panels.append(("by component", _groups(components, len(codes), "components")[shown], None))
    if labels is not None:
        panels.append(("by label", _groups(labels, len(codes), "labels")[shown], class_names))
    figure = new_figure(4.8 * max(1, len(panels)) + 0.4, 4.9)
    row = figure.subplots(1, max(1, len(panels)), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (caption, groups, words) in zip(row, panels or [(None, None, None)], strict=True):
        dress_plane(axes, caption, names)
        draw_groups(axes, points, groups, words)
        axes.label_outer()
    return titled(figure, title)


def latent_scatter_panels(
    panels: Mapping[str, Values],
    groups: Values | None = None,
    class_names: Sequence[str] | None = None,
    *,
    max_points: int = 4000,
    title: str | None = None,
) -> Figure:
    """The latent space of the same data at several moments or of several models, side by side.

    Args:
        panels: codes ``[N, D]`` by caption; each panel has its own plane and scale.
        groups: ``[N]`` integers, labels or components, shown by colour and mark; -1 for a missing one.
        class_names: what the groups are called; by default their numbers.
        max_points: so many codes at most are drawn in a panel.
        title: a heading.

    Returns:
        The figure.

    Raises:
        ValueError: without a panel, or for shapes that do not fit.

    Source:
        Dilokthanakul et al. 2016, figure 2, d to f.
    """
    if not panels:
        raise ValueError("panels: got none; at least one is needed")
    figure = new_figure(3.7 * len(panels) + 0.4, 3.9)
    row = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (caption, z) in zip(row, panels.items(), strict=True):
        codes = to_array(z)
        project, names = plane_of(codes)
        shown = thinned(len(codes), max_points)
        chosen = None if groups is None else _groups(groups, len(codes), "groups")[shown]
        dress_plane(axes, caption, names)
        draw_groups(axes, project(codes)[shown], chosen, class_names)
    return titled(figure, title)


def _groups(values: Values, num_data: int, name: str) -> NDArray[Any]:
    array = to_array(values)
    if array.ndim == 2 and len(array) == num_data:
        return array.argmax(axis=1)
    if array.shape != (num_data,) or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name}: got shape {array.shape} of {array.dtype}; allowed are {num_data} integers")
    return array
