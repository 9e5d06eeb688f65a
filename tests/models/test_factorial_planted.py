"""Planted factors are found."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from pyro_mixvae.training import fit, start_mixture
from tests.models.planted_factors import model_of, planted_factors


def bound_and_scores(learned: bool, seed: int, x, indices, matrix) -> tuple[float, list[float]]:
    """The mean test bound, and the ARI of each planted factor with the part of the code that is best for it."""
    torch.manual_seed(seed)
    model = model_of(x, matrix, learned)
    common = {"lr": 1e-2, "batch_size": 100, "seed": seed, "progress": False}
    start_mixture(model, x, pretraining_epochs=20, seeding_epochs=5 if learned else 10, **common)
    fit(model, x, max_epochs=100 if learned else 12, **common)
    found = [gamma.argmax(-1) for gamma in model.responsibilities(x)]
    return model.predictive_bound(x)["bound"].mean().item(), [
        adjusted_rand_score(planted, part) for planted, part in zip(indices, found, strict=True)
    ]


def test_with_the_planted_decoder():
    x, indices, matrix = planted_factors()
    _, scores = bound_and_scores(False, 0, x, indices, matrix)
    assert min(scores) >= 0.95


@pytest.mark.slow
def test_with_a_learned_decoder_the_best_of_five_starts_by_the_bound():
    x, indices, matrix = planted_factors()
    runs = [bound_and_scores(True, seed, x, indices, matrix) for seed in range(5)]
    _, scores = max(runs)
    assert min(scores) >= 0.95
