"""Clustering scores against examples worked out by hand and against scikit-learn."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture

from pyro_mixvae.metrics import (
    ari,
    cluster_labels,
    clustering_accuracy,
    clustering_scores,
    confusion_matrix,
    kmeans_baseline,
    nmi,
    used_clusters,
)
from pyro_mixvae.metrics.baselines import _log_odds

# Six data, three clusters. By column the greatest responsibilities are those of data 0, 3 and 4, with
# labels 0, 1, 1. By row the clusters are 0, 0, 1, 1, 2, 0. Predicted labels: 0, 0, 1, 1, 1, 0.
SIX = torch.tensor(
    [
        [0.95, 0.03, 0.02],
        [0.60, 0.30, 0.10],
        [0.10, 0.80, 0.10],
        [0.05, 0.90, 0.05],
        [0.30, 0.00, 0.70],
        [0.50, 0.10, 0.40],
    ]
)
LABELS = torch.tensor([0, 0, 0, 1, 1, 1])


def test_the_most_confident_rule_on_six_data_by_hand():
    assert cluster_labels(SIX, LABELS).tolist() == [0, 1, 1]
    assert clustering_accuracy(SIX, LABELS) == 4 / 6


def test_a_clusters_label_may_come_from_a_datum_of_another_cluster():
    responsibilities = torch.tensor([[0.6, 0.4], [0.7, 0.3], [0.9, 0.1]])
    labels = torch.tensor([1, 0, 0])
    assert cluster_labels(responsibilities, labels).tolist() == [0, 1]
    assert clustering_accuracy(responsibilities, labels) == 2 / 3


def test_the_majority_rule_on_six_data_by_hand():
    # the clusters of the test below; in cluster 1 both labels are as frequent
    assert cluster_labels(SIX, LABELS, rule="majority").tolist() == [0, 0, 1]
    assert clustering_accuracy(SIX, LABELS, rule="majority") == 4 / 6
    assert clustering_accuracy(SIX.argmax(1), LABELS, rule="majority") == 4 / 6
    assert cluster_labels([2, 2, 0], [1, 1, 0], rule="majority").tolist() == [0, 0, 1]


def test_no_labelling_of_the_clusters_beats_the_majority_rule():
    rng = np.random.default_rng(1)
    clusters, labels = rng.integers(3, size=50), rng.integers(4, size=50)
    best = max(np.mean(np.array(named)[clusters] == labels) for named in product(range(4), repeat=3))
    assert clustering_accuracy(clusters, labels, rule="majority") == pytest.approx(best, abs=1e-12)


def test_the_hungarian_rule_on_six_data_by_hand():
    # counts: cluster 0 holds labels 0 0 1, cluster 1 holds 0 1, cluster 2 holds 1. One to one, the best is
    # 0 -> 0 (2 right) and 1 or 2 -> 1 (1 right); the third cluster stands for no class.
    assert clustering_accuracy(SIX, LABELS, rule="hungarian") == 3 / 6
    assert sorted(cluster_labels(SIX, LABELS, rule="hungarian").tolist()) == [-1, 0, 1]
    assert clustering_accuracy(SIX.argmax(1), LABELS, rule="hungarian") == 3 / 6


@pytest.mark.parametrize(("num_clusters", "num_classes"), [(4, 4), (5, 3), (3, 5)])
def test_the_hungarian_rule_is_the_best_of_all_assignments(num_clusters, num_classes):
    rng = np.random.default_rng(0)
    clusters, labels = rng.integers(num_clusters, size=60), rng.integers(num_classes, size=60)
    size = max(num_clusters, num_classes)
    best = max(np.mean(np.array(order)[clusters] == labels) for order in permutations(range(size)))
    assert clustering_accuracy(clusters, labels, rule="hungarian") == pytest.approx(best, abs=1e-12)


def test_scores_do_not_depend_on_the_clusters_numbers():
    order = torch.tensor([2, 0, 1])
    assert clustering_scores(SIX[:, order], LABELS) == pytest.approx(clustering_scores(SIX, LABELS))


def test_logarithms_serve_and_tell_rounded_responsibilities_apart():
    assert clustering_accuracy(SIX.log(), LABELS) == clustering_accuracy(SIX, LABELS)
    logs = torch.tensor([[0.0, -200.0], [0.0, -400.0], [-300.0, 0.0]])
    assert cluster_labels(logs, [1, 1, 0]).tolist() == [1, 0]


def test_missing_labels_are_left_out():
    labels = LABELS.clone()
    labels[0] = -1
    assert cluster_labels(SIX, labels).tolist() == [0, 1, 1]
    assert clustering_accuracy(SIX, labels) == 3 / 5
    assert clustering_accuracy(SIX, labels) == clustering_accuracy(SIX[1:], labels[1:])
    assert nmi(SIX, labels) == nmi(SIX[1:], labels[1:])
    assert confusion_matrix(SIX, labels).sum() == 5


def test_confusion_matrix_by_hand():
    assert confusion_matrix(SIX, LABELS).tolist() == [[2, 1], [1, 1], [0, 1]]
    assert confusion_matrix([0, 0, 2], [1, 1, 0], num_clusters=4, num_classes=3).tolist() == [
        [0, 2, 0],
        [0, 0, 0],
        [1, 0, 0],
        [0, 0, 0],
    ]
    with pytest.raises(ValueError, match="num_clusters: got 2"):
        confusion_matrix([0, 0, 2], [1, 1, 0], num_clusters=2)
    with pytest.raises(ValueError, match="num_classes: got 1"):
        confusion_matrix([0, 0, 2], [1, 1, 0], num_classes=1)


def test_nmi_and_ari_by_their_formulas():
    clusters, labels = np.array([0, 0, 1, 1, 2, 0]), LABELS.numpy()
    joint = confusion_matrix(clusters, labels).numpy() / 6
    rows, columns = joint.sum(1), joint.sum(0)
    information = sum(
        joint[i, j] * np.log(joint[i, j] / rows[i] / columns[j]) for i, j in zip(*joint.nonzero(), strict=True)
    )
    entropies = -(rows * np.log(rows)).sum(), -(columns * np.log(columns)).sum()
    assert nmi(clusters, labels) == pytest.approx(2 * information / sum(entropies))
    # pairs together in both: 1 (data 0, 1); in clusters 3 + 1 = 4; in labels 6; of 15
    assert ari(clusters, labels) == pytest.approx((1 - 4 * 6 / 15) / ((4 + 6) / 2 - 4 * 6 / 15))


def test_used_clusters():
    assert used_clusters(SIX) == 3
    assert used_clusters([4, 4, 4]) == 1


def test_perfect_and_useless_clusterings():
    labels = torch.arange(5).repeat(20)
    perfect = torch.eye(5)[labels]
    assert clustering_scores(perfect, labels) == {
        "accuracy": 1.0,
        "accuracy_majority": 1.0,
        "accuracy_hungarian": 1.0,
        "nmi": 1.0,
        "ari": 1.0,
        "used_clusters": 5.0,
    }
    useless = clustering_scores(torch.ones(100, 1), labels)
    assert useless == {
        "accuracy": 0.2,
        "accuracy_majority": 0.2,
        "accuracy_hungarian": 0.2,
        "nmi": 0.0,
        "ari": 0.0,
        "used_clusters": 1.0,
    }
    assert all(isinstance(value, float) for value in useless.values())


@pytest.mark.parametrize(
    ("responsibilities", "labels", "rule", "words"),
    [
        (SIX.argmax(1), LABELS, "most-confident", r"needs responsibilities, \[N, K\]; got clusters, shape \(6,\)"),
        (SIX, LABELS, "best", "rule: got 'best'; allowed are 'most-confident', 'majority', 'hungarian'"),
        (SIX, LABELS[:5], "hungarian", "labels: got 5 labels for 6 data"),
        (SIX, LABELS - 3, "hungarian", "labels: got -3"),
        (SIX, LABELS * 0 - 1, "hungarian", "labels: all are -1"),
        (SIX, LABELS.float(), "hungarian", r"labels: got shape \(6,\) of float32"),
        (SIX * torch.nan, LABELS, "hungarian", "responsibilities: 18 of 18 values are NaN"),
        (SIX.unsqueeze(0), LABELS, "hungarian", r"clusters: got shape \(1, 6, 3\)"),
        (SIX.argmax(1) - 1, LABELS, "hungarian", "clusters: got shape"),
    ],
)
def test_bad_input_is_named(responsibilities, labels, rule, words):
    with pytest.raises(ValueError, match=words):
        clustering_accuracy(responsibilities, labels, rule)


def test_k_means_finds_what_is_there():
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 4
    points = 10 * np.eye(4)[labels] + rng.normal(size=(400, 4))
    scores = kmeans_baseline(points[:300], points[300:], labels[300:], num_clusters=4)
    assert scores == clustering_scores(np.eye(4)[labels[300:]], labels[300:])
    assert kmeans_baseline(points, points, labels, 2)["used_clusters"] == 2
    with pytest.raises(ValueError, match=r"num_clusters: got 301; allowed are 1..300"):
        kmeans_baseline(points[:300], points, labels, 301)


def test_k_means_takes_images_of_bytes_and_of_floats_alike():
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (50, 1, 4, 4), np.uint8))
    labels = torch.from_numpy(rng.integers(0, 3, 50))
    one, two = (kmeans_baseline(x, x, labels, 3, seed=1, num_starts=2) for x in (images, images / 255))
    assert one == pytest.approx(two)


@pytest.mark.parametrize("num_components", [1, 3])
def test_a_gaussian_mixtures_log_odds_are_those_of_its_probabilities(num_components):
    rows = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    found = GaussianMixture(num_components, random_state=0).fit(rows)
    odds, probabilities = _log_odds(found, rows), found.predict_proba(rows.astype(np.float64))
    if num_components > 1:
        np.testing.assert_allclose(1 / (1 + np.exp(-odds)), probabilities, atol=1e-6)
    assert odds.shape == (200, num_components)


def test_a_gaussian_mixtures_surest_datum_is_found_among_probabilities_of_one():
    rows = np.concatenate([np.random.default_rng(k).normal(k * 40, 1, size=(100, 1)) for k in range(3)]).astype(
        np.float32
    )
    found = GaussianMixture(3, random_state=0).fit(rows)
    probabilities, odds = found.predict_proba(rows), _log_odds(found, rows)
    for k in range(3):
        assert (probabilities[:, k] == 1).sum() > 50
        assert (odds[:, k] == odds[:, k].max()).sum() == 1
