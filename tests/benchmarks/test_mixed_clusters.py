"""What is said of the clusters is what their counts say."""

from __future__ import annotations

import torch

from benchmarks.mixed_clusters import describe

COUNTS = torch.tensor([[95, 5, 0], [40, 60, 0], [0, 1, 99], [0, 0, 0]])


def test_mixed_and_mislabelled_clusters_the_least_pure_first():
    clusters = describe(COUNTS, torch.tensor([0, 0, 1, 2]))
    assert [one["cluster"] for one in clusters] == [1, 2]
    assert clusters[0] == {"cluster": 1, "size": 100, "share": 0.6, "digits": [1, 0], "label": 0, "lost": 20}
    assert clusters[1]["digits"] == [2, 1]
    assert clusters[1]["lost"] == 98


def test_a_pure_cluster_with_its_own_label_is_not_listed():
    assert describe(COUNTS[:1], torch.tensor([0])) == []
