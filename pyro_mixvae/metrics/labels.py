"""How well predicted labels match the true ones: the error of classes, F1 of yes-or-no labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .inputs import Values, to_array, with_labels


def classification_error(probabilities: Values, labels: Values) -> float:
    """The share of data whose most probable class is not theirs, in percent.

    Args:
        probabilities: ``[N, C]``.
        labels: ``[N]``, -1 for a missing one: such data are not scored.

    Raises:
        ValueError: for shapes that do not fit, or no label at all.

    >>> classification_error([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], [0, 0, -1])
    50.0
    """
    scores = to_array(probabilities)
    if scores.ndim != 2 or 0 in scores.shape:
        raise ValueError(f"probabilities: got shape {scores.shape}; allowed is [N, C], neither 0")
    known, truth = with_labels(scores, labels)
    return float(100 * (known.argmax(axis=1) != truth).mean())


def multilabel_f1(
    probabilities: Values, labels: Values, names: Sequence[str] = (), threshold: float = 0.5
) -> dict[str, float]:
    """F1 of each yes-or-no label over all data that have it, and their mean, in percent.

    .. math:: F_1 = 100 \\cdot \\frac{2 TP}{2 TP + FP + FN}

    A label that is neither there nor found has 0.

    Args:
        probabilities: of a yes, ``[N, L]``.
        labels: ``[N, L]`` of 0, 1 and -1 for a missing one.
        names: of the L labels; numbers if left out.
        threshold: a yes from this probability on.

    Returns:
        F1 by name, last ``"mean"``.

    Raises:
        ValueError: for shapes that do not fit, another number of names, or labels outside -1..1.

    Source:
        Tran, Pantic, Deisenroth, *Cauchy-Schwarz Regularized Autoencoder*, tables VII and VIII.

    >>> multilabel_f1([[0.9, 0.2], [0.8, 0.7]], [[1, 0], [0, 1]], ["AU1", "AU2"])["mean"]
    83.33...
    """
    from sklearn.metrics import f1_score

    scores, truth = to_array(probabilities), to_array(labels)
    if scores.ndim != 2 or truth.shape != scores.shape or 0 in scores.shape:
        raise ValueError(
            f"labels: got shape {truth.shape} for probabilities of shape {scores.shape}; allowed is [N, L]"
        )
    if truth.min() < -1 or truth.max() > 1:
        raise ValueError(
            f"labels: got values in {truth.min()}..{truth.max()}; allowed are 0, 1 and -1 for a missing one"
        )
    own = list(names) or [str(number) for number in range(truth.shape[1])]
    if len(own) != truth.shape[1]:
        raise ValueError(f"names: got {len(own)} for {truth.shape[1]} labels")
    found = {}
    for name, score, answers in zip(own, scores.T, truth.T, strict=True):
        known = answers >= 0
        positive = score[known] >= threshold
        found[name] = (
            float(100 * f1_score(answers[known], positive, zero_division=0.0)) if known.any() else float("nan")
        )
    return {**found, "mean": float(np.nanmean(list(found.values())))}
