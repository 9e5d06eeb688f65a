"""What the papers' tables measure beside a run's own evaluation."""

from __future__ import annotations

import pytest
import torch

from benchmarks.reproduce.scores import bound_scores, sharp_scores
from pyro_mixvae.training.evaluation import evaluate
from pyro_mixvae.training.recipe import read_recipe
from pyro_mixvae.training.run import build_model, open_data


def untrained(name):
    recipe = read_recipe(name)
    data = open_data(recipe)
    return recipe, data, build_model(recipe, data, 0)


def test_the_bound_of_a_vae_is_its_loss():
    recipe, data, model = untrained("vae-digits")
    found = bound_scores(model, recipe, None)
    assert found["bound"] == pytest.approx(found["E log p(x|z)"] - found["KL[z]"])
    # one draw of z each, here and there
    assert found["bound"] == pytest.approx(-evaluate(model, data, num_samples=2).results["loss"], abs=0.5)


def test_the_bound_of_a_factorial_mixture_has_four_parts_and_is_below_the_likelihood():
    recipe, data, model = untrained("factorial-digits")
    found = bound_scores(model, recipe, None)
    assert found["bound"] == pytest.approx(found["E log p(x|z)"] - found["KL[z]"] - found["KL[r]"], abs=1e-3)
    torch.manual_seed(0)
    assert found["bound"] < model.log_likelihood(data.test.values(), 100).mean().item()


def test_the_caller_keeps_the_random_state():
    recipe, _, model = untrained("vae-digits")
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    bound_scores(model, recipe, None)
    assert torch.rand(1) == expected


def test_what_is_copied_is_sharp():
    recipe, _, model = untrained("mpvae-digits")

    class Copy:
        encode = staticmethod(model.encode)

        @staticmethod
        def reconstruct(x):
            return x

    found = sharp_scores(Copy(), recipe, None)
    assert found["sharpness"] == pytest.approx(1.0)
    assert found["reconstruction L1"] == 0.0
    assert found["mean posterior sigma"] > 0
    assert sharp_scores(model, recipe, None)["reconstruction L1"] > 0.05
