"""Scores of predicted labels, counted by hand."""

from __future__ import annotations

import pytest
import torch

from pyro_mixvae.metrics import classification_error, multilabel_f1


def test_error_counts_data_with_a_label() -> None:
    scores = torch.tensor([[0.2, 0.5, 0.3], [0.9, 0.1, 0.0], [0.1, 0.1, 0.8], [1.0, 0.0, 0.0]])
    assert classification_error(scores, torch.tensor([1, 1, 2, -1])) == pytest.approx(100 / 3)


def test_f1_of_each_label() -> None:
    """2 TP / (2 TP + FP + FN), answers that are missing left out; a label without any answer is in no mean."""
    scores = torch.tensor([[0.9, 0.4, 0.1], [0.6, 0.7, 0.9], [0.2, 0.5, 0.3], [0.8, 0.9, 0.2]])
    labels = torch.tensor([[1, 0, -1], [0, 1, -1], [1, 1, -1], [-1, 1, -1]])
    found = multilabel_f1(scores, labels, ["AU1", "AU2", "AU4"])
    assert found["AU1"] == pytest.approx(50.0)  # one hit, one false alarm, one miss
    assert found["AU2"] == pytest.approx(100.0)
    assert found["AU4"] != found["AU4"]
    assert found["mean"] == pytest.approx(75.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0.5, 0.5]], [[1]]), "labels: got shape"),
        (([[0.5]], [[2]]), r"labels: got values in 2\.\.2"),
        (([[0.5]], [[1]], ["a", "b"]), "names: got 2 for 1 labels"),
    ],
)
def test_bad_input(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        multilabel_f1(*arguments)
