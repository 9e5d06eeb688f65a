"""What the metrics take: tensors or arrays, on any device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

Values = Tensor | ArrayLike
"""A tensor on any device, an array, or nested lists of numbers."""


def to_array(values: Values) -> NDArray[Any]:
    """The values as a NumPy array, detached and on the CPU."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def to_labels(labels: Values, num_data: int | None = None) -> NDArray[np.int64]:
    """Integer labels, ``[N]``, from -1 (missing) upwards.

    Raises:
        ValueError: if they are not that, or not ``num_data`` many.
    """
    array = to_array(labels)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"labels: got shape {array.shape} of {array.dtype}; allowed are integers of shape [N]")
    if num_data is not None and len(array) != num_data:
        raise ValueError(f"labels: got {len(array)} labels for {num_data} data")
    if len(array) and array.min() < -1:
        raise ValueError(f"labels: got {array.min()}; allowed are integers from 0, and -1 for a missing label")
    return array.astype(np.int64)


def to_responsibilities(responsibilities: Values) -> NDArray[Any]:
    """Responsibilities ``[N, K]``: any scores of which the greatest marks the cluster, logarithms included.

    Raises:
        ValueError: if the shape is another or a value is NaN.
    """
    array = to_array(responsibilities)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"responsibilities: got shape {array.shape}; allowed is [N, K], neither of them 0")
    if np.isnan(array).any():
        raise ValueError(f"responsibilities: {int(np.isnan(array).sum())} of {array.size} values are NaN")
    return array


def to_clusters(responsibilities_or_clusters: Values) -> NDArray[np.int64]:
    """Cluster numbers ``[N]``: as given, or the cluster of the greatest responsibility (the first of equals).

    Raises:
        ValueError: for another shape, or cluster numbers that are not integers from 0.
    """
    array = to_array(responsibilities_or_clusters)
    if array.ndim == 2:
        return to_responsibilities(array).argmax(axis=1).astype(np.int64)
    if array.ndim != 1 or not len(array) or not np.issubdtype(array.dtype, np.integer) or array.min() < 0:
        raise ValueError(
            f"clusters: got shape {array.shape} of {array.dtype}; allowed are integers from 0, [N], "
            "or responsibilities, [N, K]"
        )
    return array.astype(np.int64)


def labelled(responsibilities_or_clusters: Values, labels: Values) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The data that have a label: their responsibilities or clusters, and the labels.

    Raises:
        ValueError: if the shapes do not fit or no datum has a label.
    """
    array = to_array(responsibilities_or_clusters)
    array = to_responsibilities(array) if array.ndim == 2 else to_clusters(array)
    return with_labels(array, labels)


def with_labels(array: NDArray[Any], labels: Values) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The rows of an array that have a label, and the labels.

    Raises:
        ValueError: if there is not one label per row, or no row has one.
    """
    known = to_labels(labels, len(array))
    if not (known >= 0).any():
        raise ValueError("labels: all are -1 (missing); a score needs at least one")
    return array[known >= 0], known[known >= 0]


def to_tensor(values: Values) -> Tensor:
    """The values as a tensor, detached and on the CPU."""
    return values.detach().cpu() if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))
