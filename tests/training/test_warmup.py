"""Warm-up: a straight line in steps, never longer than the training, logged."""

from __future__ import annotations

import math

import pytest
import torch

from pyro_mixvae.training import LinearWarmup, fit
from pyro_mixvae.training.warmup import linear_weight


def test_line():
    assert [linear_weight(step, 4, 1.0, 3.0) for step in range(6)] == [1.0, 1.5, 2.0, 2.5, 3.0, 3.0]
    assert linear_weight(0, 0) == 1.0


def test_length_in_steps_or_epochs():
    assert LinearWarmup(steps=7).num_steps(steps_per_epoch=3) == 7
    assert LinearWarmup(epochs=2).num_steps(steps_per_epoch=3) == 6
    assert LinearWarmup(epochs=0.5).num_steps(steps_per_epoch=15) == 8
    assert LinearWarmup(epochs=100).num_steps(steps_per_epoch=3, total_steps=12) == 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give epochs or steps"),
        ({"epochs": 1, "steps": 2}, "give epochs or steps"),
        ({"epochs": -1}, "warmup.epochs"),
        ({"steps": math.inf}, "warmup.steps"),
        ({"steps": 2.5}, "warmup.steps"),
        ({"epochs": "x"}, "warmup.epochs"),
        ({"epochs": 1, "start": math.nan}, "warmup.start"),
        ({"epochs": 1, "end": -1.0}, "warmup.end"),
        ({"epochs": 1, "sites": "z"}, "warmup.sites"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        LinearWarmup(**options)


def weights_used(model, warmup, sgd, num_data=6, **options):
    """Gradient descent on weight * shift^2/2 multiplies the shift by 1 - lr * weight at each step."""
    options = {"batch_size": 2, "max_epochs": 3, **options}
    return fit(
        model, torch.zeros(num_data, 2), warmup=warmup, optimizer=sgd(0.1), seed=0, progress=False, **options
    ).history


def expected_shift(weights):
    return math.prod(1 - 0.1 * weight for weight in weights)


@pytest.mark.parametrize("warmup", [LinearWarmup(steps=4), LinearWarmup(steps=4, sites=["z"])])
def test_weight_of_each_step(toy, sgd, warmup):
    model = toy(shift=1.0)
    history = weights_used(model, warmup, sgd)
    assert model.shift.item() == pytest.approx(expected_shift([0, 0.25, 0.5, 0.75] + 5 * [1.0]), rel=1e-6)
    assert [row["warmup"] for row in history] == [0.5, 1.0, 1.0]


def test_start_and_end(toy, sgd):
    model = toy(shift=1.0)
    weights_used(model, LinearWarmup(steps=2, start=1.0, end=3.0), sgd, max_epochs=1)
    assert model.shift.item() == pytest.approx(expected_shift([1.0, 2.0, 3.0]), rel=1e-6)


def test_epochs_become_steps(toy, sgd):
    model = toy(shift=1.0)
    weights_used(model, LinearWarmup(epochs=2), sgd)
    assert model.shift.item() == pytest.approx(expected_shift([step / 6 for step in range(6)] + 3 * [1.0]), rel=1e-6)


def test_never_longer_than_the_training(toy, sgd):
    """A hundred epochs of warm-up in a training of three: the line is as long as the training."""
    model = toy(shift=1.0)
    history = weights_used(model, LinearWarmup(epochs=100), sgd)
    assert model.shift.item() == pytest.approx(expected_shift([step / 9 for step in range(9)]), rel=1e-6)
    assert history[-1]["warmup"] == pytest.approx(8 / 9)


def test_counts_steps_of_the_optimiser(toy, sgd):
    """Three batches in groups of two are two steps in each epoch."""
    model = toy(shift=1.0)
    weights_used(model, LinearWarmup(epochs=100), sgd, accumulate=2)
    assert model.shift.item() == pytest.approx(expected_shift([step / 6 for step in range(6)]), rel=1e-6)


def test_other_sites_keep_their_weight(toy, sgd):
    model = toy(shift=1.0)
    history = weights_used(model, LinearWarmup(steps=4), sgd, max_epochs=1)
    assert history[0]["train/x"] == pytest.approx(math.log(2 * math.pi))


def test_the_models_own_objective_is_not_changed(toy, sgd):
    model = toy(shift=1.0)
    objective = model.objective()
    weights_used(model, LinearWarmup(steps=100), sgd, objective=objective, max_epochs=1)
    loss = objective.loss(model.model, model.guide, torch.zeros(1, 2))
    assert loss == pytest.approx(0.5 * model.shift.item() ** 2 + math.log(2 * math.pi), rel=1e-6)


def test_no_warmup_no_column(toy, sgd):
    assert "warmup" not in weights_used(toy(), None, sgd)[0]
