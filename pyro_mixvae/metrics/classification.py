"""How well simple classifiers do on latent codes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from .inputs import Values, to_array, with_labels

#: Whose accuracy on the codes is measured.
CLASSIFIERS = ("MLP", "linear SVM", "kNN")


def classification_accuracy(
    train_codes: Values,
    train_labels: Values,
    test_codes: Values,
    test_labels: Values,
    classifiers: Sequence[str] = CLASSIFIERS,
    seed: int = 0,
) -> dict[str, float]:
    """The accuracy of classifiers that are trained on codes, in percent.

    Codes are taken as they are, at the scale that their prior gives them: one that a model does not use stays small and
    counts for little in a distance. The network has one hidden layer of 200 ReLU units and trains for 50 epochs at
    most; the vote is of 5 neighbours; there is a linear support vector machine for each pair of classes, as in LIBSVM.
    Neighbours by codes of variance 1, and a machine for each class against the rest, know less
    (benchmarks/code_classifiers.md).

    Args:
        train_codes: ``[N, D]``.
        train_labels: ``[N]``, -1 for a missing one: such data are left out.
        test_codes: ``[M, D]``.
        test_labels: ``[M]``, likewise.
        classifiers: of ``"MLP"``, ``"linear SVM"`` and ``"kNN"``.
        seed: of the network and of the support vector machine.

    Returns:
        Percent correct by classifier.

    Raises:
        ValueError: for shapes that do not fit, or an unknown classifier.

    Source:
        Ye, Bors, *Deep Mixture Generative Autoencoders*, table V; scikit-learn's classifiers.

    >>> classification_accuracy([[0.0], [0.1], [1.0], [1.1]], [0, 0, 1, 1], [[0.1], [0.9]], [0, 1], ["linear SVM"])
    {'linear SVM': 100.0}
    """
    from sklearn.exceptions import ConvergenceWarning

    train, known = _rows(train_codes, train_labels, "train_codes")
    test, truth = _rows(test_codes, test_labels, "test_codes")
    if train.shape[1] != test.shape[1]:
        raise ValueError(f"test_codes: got {test.shape[1]} dimensions, but train_codes have {train.shape[1]}")
    scores = {}
    for name in classifiers:
        with warnings.catch_warnings():
            # the number of epochs is part of the definition
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = _classifier(name, seed).fit(train, known)
        scores[name] = float(100 * (fitted.predict(test) == truth).mean())
    return scores


def component_classification(
    train_codes: Values,
    train_labels: Values,
    test_codes: Values,
    test_labels: Values,
    classifiers: Sequence[str] = CLASSIFIERS,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """The same for every component's codes and for all of them side by side.

    Args:
        train_codes: ``[N, K, D]``.
        train_labels: ``[N]``.
        test_codes: ``[M, K, D]``.
        test_labels: ``[M]``.
        classifiers: as in :func:`classification_accuracy`.
        seed: likewise.

    Returns:
        Percent correct by classifier, for ``"mixture"`` (the concatenation) and each component ``"0"``, ``"1"``, ...

    Raises:
        ValueError: for other shapes.
    """
    train, test = to_array(train_codes), to_array(test_codes)
    if train.ndim != 3 or test.shape[1:] != train.shape[1:]:
        raise ValueError(f"train_codes: got shapes {train.shape} and {test.shape}; allowed are [N, K, D] and [M, K, D]")
    parts = {"mixture": (train.reshape(len(train), -1), test.reshape(len(test), -1))}
    parts |= {str(k): (train[:, k], test[:, k]) for k in range(train.shape[1])}
    return {
        name: classification_accuracy(own_train, train_labels, own_test, test_labels, classifiers, seed)
        for name, (own_train, own_test) in parts.items()
    }


def inception_score(probabilities: Values) -> float:
    """exp of the mean divergence of each image's class probabilities from their average: from 1 to C.

    Args:
        probabilities: ``[N, C]``, a classifier's for N generated images; the published score takes the Inception
            network's, any other classifier must be named beside the number.

    Raises:
        ValueError: for another shape, negative values, or rows whose sum is not 1.

    Source:
        Salimans et al. (2016); Ye, Bors, equation 37.

    >>> round(inception_score([[1.0, 0.0], [0.0, 1.0]]), 6)
    2.0
    """
    rows = to_array(probabilities).astype(np.float64)
    if rows.ndim != 2 or 0 in rows.shape or (rows < 0).any() or not np.allclose(rows.sum(1), 1, atol=1e-3):
        raise ValueError(f"probabilities: got shape {rows.shape}; allowed are rows [N, C] from 0 with sum 1")
    mean = rows.mean(axis=0)
    log_ratio = np.log(np.where(rows > 0, rows, 1)) - np.log(np.where(mean > 0, mean, 1))
    return float(np.exp((rows * log_ratio).sum(axis=1).mean()))


def _classifier(name: str, seed: int) -> Any:
    from sklearn.multiclass import OneVsOneClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import LinearSVC

    makers = {
        "MLP": lambda: MLPClassifier((200,), max_iter=50, batch_size="auto", random_state=seed),
        "linear SVM": lambda: OneVsOneClassifier(LinearSVC(dual=False, random_state=seed)),
        "kNN": lambda: KNeighborsClassifier(5),
    }
    if name not in makers:
        raise ValueError(f"classifiers: got {name!r}; allowed are {', '.join(map(repr, makers))}")
    return makers[name]()


def _rows(codes: Values, labels: Values, name: str) -> tuple[Any, Any]:
    array = to_array(codes)
    if array.ndim != 2 or 0 in array.shape or not np.isfinite(array).all():
        raise ValueError(f"{name}: got shape {array.shape}; allowed are finite numbers, [N, D], neither 0")
    return with_labels(array, labels)
