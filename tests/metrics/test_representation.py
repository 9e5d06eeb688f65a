"""Scores of codes and reconstructions against scikit-learn and against examples by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from pyro_mixvae.metrics import active_units, knn_error, reconstruction_error


def test_knn_error_is_scikit_learns():
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(200, 3)), rng.normal(size=(150, 3))
    train_labels, test_labels = rng.integers(4, size=200), rng.integers(4, size=150)
    ours = knn_error(torch.from_numpy(train), torch.from_numpy(train_labels), test, test_labels, k=(1, 3, 5, 10))
    for k, error in ours.items():
        theirs = KNeighborsClassifier(k).fit(train, train_labels).score(test, test_labels)
        assert error == pytest.approx(100 * (1 - theirs), abs=1e-9)


def test_knn_error_by_hand():
    # around the query 0.0: labels 1 (at 0.1), 0 (at 0.2), 0 (at -0.3), 2 (at 9)
    codes, labels = [[0.1], [0.2], [-0.3], [9.0]], [1, 0, 0, 2]
    assert knn_error(codes, labels, [[0.0]], [0], k=[1, 2, 3]) == {1: 100.0, 2: 0.0, 3: 0.0}


def test_data_without_label_neither_vote_nor_count():
    codes, labels = [[0.0], [0.1], [5.0]], [-1, 0, 1]
    assert knn_error(codes, labels, [[0.0], [5.0]], [0, -1], k=[1]) == {1: 0.0}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"k": (3, 300)}, r"k: got \(3, 300\); allowed are numbers in 1..20"),
        ({"k": ()}, "k: got"),
        ({"test_codes": torch.zeros(5, 4)}, "test_codes: got 4 dimensions, but train_codes have 3"),
        ({"train_codes": torch.zeros(20)}, r"train_codes: got shape \(20,\)"),
        ({"train_codes": torch.full((20, 3), torch.nan)}, "train_codes: .* finite"),
        ({"test_labels": torch.zeros(4, dtype=torch.int64)}, "labels: got 4 labels for 5 data"),
    ],
)
def test_bad_codes_are_named(change, words):
    arguments = {
        "train_codes": torch.zeros(20, 3),
        "train_labels": torch.zeros(20, dtype=torch.int64),
        "test_codes": torch.zeros(5, 3),
        "test_labels": torch.zeros(5, dtype=torch.int64),
    }
    with pytest.raises(ValueError, match=words):
        knn_error(**{**arguments, **change})


def test_active_units():
    means = torch.randn(1000, 6) * torch.tensor([1.0, 0.5, 0.15, 0.05, 0.01, 0.0]) + 3
    assert active_units(means) == 3
    assert active_units(means.numpy(), threshold=1e-3) == 4
    with pytest.raises(ValueError, match=r"means: got shape \(1, 6\)"):
        active_units(means[:1])


def test_reconstruction_error():
    x, x_hat = torch.rand(7, 1, 4, 4), torch.rand(7, 1, 4, 4)
    expected = ((x - x_hat) ** 2).flatten(1).sum(1).mean()
    assert reconstruction_error(x, x_hat) == pytest.approx(float(expected), rel=1e-6)
    assert reconstruction_error(x, x) == 0.0
    images = (x * 255).to(torch.uint8)
    assert reconstruction_error(images, images.float() / 255) == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match=r"x_hat: got shape \(7, 16\)"):
        reconstruction_error(x, x_hat.flatten(1))
