"""Classifiers on codes against scikit-learn and on data whose answer is known; the Inception score by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.multiclass import OneVsOneClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from pyro_mixvae.metrics import classification_accuracy, component_classification, inception_score


def blobs(num_data: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes [N, 2, 2] of four classes: component 0 tells the first bit, component 1 the second."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(4, (num_data,), generator=generator)
    bits = torch.stack([y % 2, y // 2], 1).float()
    return bits.unsqueeze(-1) * 4 + torch.randn(num_data, 2, 2, generator=generator) * 0.3, y


def test_all_codes_together_beat_each_component():
    (train, labels), (test, truth) = blobs(300, 0), blobs(200, 1)
    scores = component_classification(train, labels, test, truth)
    assert list(scores) == ["mixture", "0", "1"]
    for name in ("MLP", "linear SVM", "kNN"):
        assert scores["mixture"][name] > 98
        assert 30 < scores["0"][name] < 70 and 30 < scores["1"][name] < 70


def test_scores_are_scikit_learns():
    (train, labels), (test, truth) = blobs(300, 0), blobs(200, 1)
    train, test = train[:, 0].numpy(), test[:, 0].numpy()
    machine = OneVsOneClassifier(LinearSVC(dual=False))
    for name, theirs in {"kNN": KNeighborsClassifier(5), "linear SVM": machine}.items():
        ours = classification_accuracy(train, labels, test, truth, [name])[name]
        expected = theirs.fit(train, labels).score(test, truth)
        assert ours == pytest.approx(100 * expected)


def test_a_linear_machine_for_each_pair_of_classes():
    """Five classes in a row: a point divides any two, none a middle one from all others."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.arange(500) % 5
    codes = truth.unsqueeze(-1) * 4.0 + torch.randn(500, 1, generator=generator) * 0.3
    assert classification_accuracy(codes, truth, codes, truth, ["linear SVM"])["linear SVM"] == 100
    against_the_rest = LinearSVC(dual=False).fit(codes.numpy(), truth.numpy())
    assert against_the_rest.score(codes.numpy(), truth.numpy()) < 0.9


def test_a_code_that_a_model_does_not_use_weighs_nothing():
    (train, labels), (test, truth) = blobs(300, 0), blobs(200, 1)
    generator = torch.Generator().manual_seed(2)

    def with_unused(codes: torch.Tensor) -> torch.Tensor:
        return torch.cat([codes.flatten(1), 1e-3 * torch.randn(len(codes), 20, generator=generator)], 1)

    alone = classification_accuracy(train.flatten(1), labels, test.flatten(1), truth, ["kNN"])
    assert classification_accuracy(with_unused(train), labels, with_unused(test), truth, ["kNN"]) == alone


def test_data_without_label_are_left_out():
    train, labels = [[0.0], [1.0], [0.1], [0.9], [5.0]], [0, 1, 0, 1, -1]
    assert classification_accuracy(train, labels, [[0.0], [9.0]], [0, -1], ["linear SVM"]) == {"linear SVM": 100.0}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, y: classification_accuracy(x[:, 0], y, x[:, 0], y, ["tree"]), "classifiers: got 'tree'"),
        (lambda x, y: classification_accuracy(x, y, x, y), r"train_codes: got shape \(9, 2, 2\)"),
        (lambda x, y: classification_accuracy(x[:, 0], y, x.flatten(1), y), "test_codes: got 4 dimensions"),
        (lambda x, y: classification_accuracy(x[:, 0], y[:5], x[:, 0], y), "labels: got 5 labels for 9 data"),
        (lambda x, y: component_classification(x[:, 0], y, x, y), "train_codes: got shapes"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(*blobs(9, 0))


def test_inception_score_by_hand():
    assert inception_score(np.full((5, 4), 0.25)) == pytest.approx(1.0)
    assert inception_score(torch.eye(4)) == pytest.approx(4.0)
    rows = [[0.8, 0.2], [0.4, 0.6]]
    kl = sum(p * math.log(p / q) for row in rows for p, q in zip(row, [0.6, 0.4], strict=True)) / 2
    assert inception_score(rows) == pytest.approx(math.exp(kl))
    with pytest.raises(ValueError, match="probabilities: got shape"):
        inception_score([[0.5, 0.6]])
