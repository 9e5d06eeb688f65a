"""How much the latent codes of an autoencoder know, and how well it reconstructs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .inputs import Values, to_array, to_tensor, with_labels


def knn_error(
    train_codes: Values,
    train_labels: Values,
    test_codes: Values,
    test_labels: Values,
    k: Sequence[int] = (3, 5, 10),
) -> dict[int, float]:
    """The error of classifying test codes by a vote of the k nearest training codes.

    Euclidean distance, equal votes, the smallest label among those with as many votes.

    Args:
        train_codes: ``[N, D]``.
        train_labels: ``[N]``, -1 for a missing one: such data have no vote.
        test_codes: ``[M, D]``.
        test_labels: ``[M]``, -1 for a missing one: such data are not scored.
        k: numbers of neighbours.

    Returns:
        The error in percent, by k.

    Raises:
        ValueError: for shapes that do not fit, or a k that is not in 1..N.

    Source:
        Tran, Pantic, Deisenroth, *Cauchy-Schwarz Regularized Autoencoder*, table of kNN errors.

    >>> knn_error([[0.0], [1.0], [5.0]], [0, 0, 1], [[0.4], [4.0]], [0, 0], k=[1, 3])
    {1: 50.0, 3: 0.0}
    """
    from sklearn.neighbors import NearestNeighbors

    codes, known = _codes(train_codes, train_labels, "train_codes")
    queries, truth = _codes(test_codes, test_labels, "test_codes")
    if codes.shape[1] != queries.shape[1]:
        raise ValueError(f"test_codes: got {queries.shape[1]} dimensions, but train_codes have {codes.shape[1]}")
    if not k or not all(1 <= number <= len(codes) for number in k):
        raise ValueError(f"k: got {tuple(k)}; allowed are numbers in 1..{len(codes)}, the labelled training codes")
    search = NearestNeighbors(n_neighbors=max(k)).fit(codes)
    neighbours = known[search.kneighbors(queries, return_distance=False)]
    classes = np.arange(known.max() + 1)
    errors = {}
    for number in k:
        votes = np.stack([(neighbours[:, :number] == label).sum(axis=1) for label in classes], axis=1)
        errors[number] = float(100 * (votes.argmax(axis=1) != truth).mean())
    return errors


def active_units(means: Values, threshold: float = 0.01) -> int:
    """How many latent dimensions the encoder uses: those whose posterior mean varies over the data.

    Args:
        means: posterior means, ``[N, D]``.
        threshold: the variance that counts as use.

    Returns:
        The number of dimensions whose variance over the data is greater than ``threshold``.

    Raises:
        ValueError: if ``means`` is not ``[N, D]`` with N >= 2.

    Source:
        Burda, Grosse, Salakhutdinov, *Importance Weighted Autoencoders* (2016), section 5.

    >>> active_units([[0.0, 1.0], [0.0, -1.0]])
    1
    """
    array = to_array(means)
    if array.ndim != 2 or len(array) < 2:
        raise ValueError(f"means: got shape {array.shape}; allowed is [N, D] with N from 2")
    return int((array.astype(np.float64).var(axis=0, ddof=1) > threshold).sum())


def reconstruction_error(x: Values, x_hat: Values) -> float:
    """Squared error, summed over the values of a datum, mean over the data.

    Args:
        x: data, ``[N, *event_shape]``.
        x_hat: their reconstructions, of the same shape.

    Returns:
        A number in the squared unit of the data; ``uint8`` data count as v/255.

    Raises:
        ValueError: if the shapes differ or there are no data.

    Source:
        Ye, Bors, *Deep Mixture Generative Autoencoders*; the paper states no scale, ours is [0, 1].

    >>> reconstruction_error([[0.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [1.0, 1.0]])
    0.5
    """
    truth, guess = to_tensor(x), to_tensor(x_hat)
    if truth.shape != guess.shape or truth.dim() == 0 or truth.numel() == 0:
        raise ValueError(f"x_hat: got shape {tuple(guess.shape)} for data of shape {tuple(truth.shape)}")
    difference = _unit(truth) - _unit(guess)
    return float(difference.square().sum() / len(truth))


def _codes(codes: Values, labels: Values, name: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
    array = to_array(codes)
    if array.ndim != 2 or 0 in array.shape or not np.isfinite(array).all():
        raise ValueError(f"{name}: got shape {array.shape}; allowed are finite numbers, [N, D], neither 0")
    return with_labels(array, labels)


def _unit(values: Tensor) -> Tensor:
    return values.double() / 255 if values.dtype == torch.uint8 else values.double()
