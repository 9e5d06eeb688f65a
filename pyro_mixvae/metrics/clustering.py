"""How well clusters that were found without labels agree with the labels."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from .inputs import Values, labelled, to_clusters

Rule = Literal["most-confident", "majority", "hungarian"]


def clustering_accuracy(responsibilities_or_clusters: Values, labels: Values, rule: Rule = "most-confident") -> float:
    """The share of data whose cluster's label is their own.

    Args:
        responsibilities_or_clusters: responsibilities ``[N, K]`` or, better, their logarithms: a model's
            ``log_responsibilities`` do not tie where responsibilities are rounded to 1; but for
            ``"most-confident"`` also cluster numbers ``[N]``.
        labels: true labels, ``[N]``; data whose label is -1 (missing) are left out.
        rule: how a cluster gets its label, see :func:`cluster_labels`.

    Returns:
        A number in [0, 1].

    Raises:
        ValueError: for shapes that do not fit, an unknown rule, and cluster numbers with
            ``"most-confident"``, which cannot do without responsibilities.

    Source:
        Dilokthanakul et al. 2016, section 4.2, after Makhzani et al. 2015.

    >>> responsibilities = [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]
    >>> clustering_accuracy(responsibilities, [0, 1, 1])
    0.6666666666666666
    """
    known, truth = labelled(responsibilities_or_clusters, labels)
    predicted = cluster_labels(known, truth, rule).numpy()[to_clusters(known)]
    return float((predicted == truth).mean())


def cluster_labels(responsibilities_or_clusters: Values, labels: Values, rule: Rule = "most-confident") -> Tensor:
    """The label that each cluster stands for.

    ``"most-confident"``: cluster i gets the label of the datum, among all, with the greatest responsibility
    for i (the first of equals), whether or not that datum itself belongs to i. Several clusters may share a
    label. ``"majority"``: the most frequent label of its data (the smallest of equals, 0 without data); the
    accuracy is then the clusters' purity, which no other labelling exceeds. ``"hungarian"``: the one-to-one
    assignment of clusters to classes with the most data right. Where K > C, the K - C surplus clusters get the
    label -1, which is no class: all their data count as errors.

    Args:
        responsibilities_or_clusters: as in :func:`clustering_accuracy`.
        labels: true labels, ``[N]``; -1 for a missing one.
        rule: ``"most-confident"``, ``"majority"`` or ``"hungarian"``.

    Returns:
        ``[K]`` labels, ``torch.int64``.

    Raises:
        ValueError: as :func:`clustering_accuracy`.

    >>> cluster_labels([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], [2, 1, 1])
    tensor([2, 1])
    """
    known, truth = labelled(responsibilities_or_clusters, labels)
    if rule == "most-confident":
        if known.ndim != 2:
            raise ValueError(
                "responsibilities_or_clusters: rule 'most-confident' needs responsibilities, [N, K]; "
                f"got clusters, shape {known.shape}"
            )
        return torch.from_numpy(truth[known.argmax(axis=0)])
    if rule == "majority":
        return confusion_matrix(known, truth).argmax(dim=1)
    if rule == "hungarian":
        from scipy.optimize import linear_sum_assignment

        counts = confusion_matrix(known, truth)
        assigned = torch.full((len(counts),), -1)
        clusters, classes = linear_sum_assignment(counts.numpy(), maximize=True)
        assigned[torch.from_numpy(clusters)] = torch.from_numpy(classes)
        return assigned
    raise ValueError(f"rule: got {rule!r}; allowed are 'most-confident', 'majority', 'hungarian'")


def confusion_matrix(
    responsibilities_or_clusters: Values,
    labels: Values,
    num_clusters: int | None = None,
    num_classes: int | None = None,
) -> Tensor:
    """How many data of each class lie in each cluster.

    Args:
        responsibilities_or_clusters: responsibilities ``[N, K]`` or cluster numbers ``[N]``.
        labels: true labels, ``[N]``; data whose label is -1 (missing) are left out.
        num_clusters: K; by default the width of the responsibilities, or the greatest number given plus one.
        num_classes: C; by default the greatest label given plus one.

    Returns:
        Counts ``[K, C]``, ``torch.int64``.

    Raises:
        ValueError: for shapes that do not fit, or numbers beyond K or C.

    >>> confusion_matrix([0, 0, 1], [1, 1, 0])
    tensor([[0, 2],
            [1, 0]])
    """
    known, truth = labelled(responsibilities_or_clusters, labels)
    clusters = to_clusters(known)
    if num_clusters is None:
        every = to_clusters(responsibilities_or_clusters)
        num_clusters = known.shape[1] if known.ndim == 2 else int(every.max()) + 1
    if num_classes is None:
        num_classes = int(truth.max()) + 1
    for name, size, values in (("num_clusters", num_clusters, clusters), ("num_classes", num_classes, truth)):
        if values.max() >= size:
            raise ValueError(f"{name}: got {size}; allowed are numbers above {values.max()}, which occurs")
    counts = np.zeros((num_clusters, num_classes), np.int64)
    np.add.at(counts, (clusters, truth), 1)
    return torch.from_numpy(counts)


def nmi(responsibilities_or_clusters: Values, labels: Values) -> float:
    """Normalised mutual information of clusters and labels, by the arithmetic mean of their entropies.

    Args:
        responsibilities_or_clusters: responsibilities ``[N, K]`` or cluster numbers ``[N]``.
        labels: true labels, ``[N]``; data whose label is -1 (missing) are left out.

    Returns:
        A number in [0, 1].

    >>> nmi([0, 0, 1, 1], [1, 1, 0, 0])
    1.0
    """
    from sklearn.metrics import normalized_mutual_info_score

    known, truth = labelled(responsibilities_or_clusters, labels)
    return float(normalized_mutual_info_score(truth, to_clusters(known)))


def ari(responsibilities_or_clusters: Values, labels: Values) -> float:
    """Adjusted Rand index of clusters and labels: 1 for equal partitions, 0 on average by chance.

    Args:
        responsibilities_or_clusters: responsibilities ``[N, K]`` or cluster numbers ``[N]``.
        labels: true labels, ``[N]``; data whose label is -1 (missing) are left out.

    Returns:
        A number in [-0.5, 1].

    >>> ari([0, 0, 1, 1], [1, 1, 0, 0])
    1.0
    """
    from sklearn.metrics import adjusted_rand_score

    known, truth = labelled(responsibilities_or_clusters, labels)
    return float(adjusted_rand_score(truth, to_clusters(known)))


def used_clusters(responsibilities_or_clusters: Values) -> int:
    """How many clusters have at least one datum of their own.

    >>> used_clusters([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]])
    2
    """
    return len(np.unique(to_clusters(responsibilities_or_clusters)))


def clustering_scores(responsibilities: Values, labels: Values) -> dict[str, float]:
    """All scores of a clustering in one table.

    Args:
        responsibilities: ``[N, K]`` or, better, their logarithms, as for :func:`clustering_accuracy`.
        labels: true labels, ``[N]``; -1 for a missing one.

    Returns:
        ``accuracy`` (rule ``"most-confident"``), ``accuracy_majority``, ``accuracy_hungarian``, ``nmi``, ``ari``,
        ``used_clusters``.
    """
    return {
        "accuracy": clustering_accuracy(responsibilities, labels),
        "accuracy_majority": clustering_accuracy(responsibilities, labels, rule="majority"),
        "accuracy_hungarian": clustering_accuracy(responsibilities, labels, rule="hungarian"),
        "nmi": nmi(responsibilities, labels),
        "ari": ari(responsibilities, labels),
        "used_clusters": float(used_clusters(responsibilities)),
    }
