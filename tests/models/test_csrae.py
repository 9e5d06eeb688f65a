"""CSRAE and its recipes: what they reach on real digits, and that lambda trades reconstruction for divergence."""

from __future__ import annotations

import re

import pytest
import torch

from pyro_mixvae.data import load
from pyro_mixvae.models import CSRAE, VAE
from pyro_mixvae.training import LinearWarmup, fit
from pyro_mixvae.training.recipe import read_recipe, recipe_names
from pyro_mixvae.training.run import build_model, fit_options, train

NETWORK = {"kind": "mlp", "hidden_dims": [64], "init": "glorot"}
FAMILY = [
    name for name in recipe_names() if re.match("(vae|beta-vae|iwae|vampprior|infovae|csrae|mixture-csrae)-", name)
]
SHAPES = {"digits": (1, 8, 8), "pinwheel": (2,), "cifar10": (3, 32, 32)}


def test_csrae_is_the_vae_with_another_divergence() -> None:
    assert CSRAE((4,)).config == VAE((4,), divergence="cauchy-schwarz").config
    assert repr(CSRAE((4,), scale=0.5).objective()) == repr(
        VAE((4,), divergence={"name": "cauchy-schwarz", "scale": 0.5}).objective()
    )


def test_lambda_trades_reconstruction_for_divergence() -> None:
    """Figure 3's shape: as lambda grows reconstruction worsens and the divergence shrinks."""
    digits = load("digits")
    x = digits.test.values()
    reconstructions, divergences = [], []
    for scale in (0.1, 1.0, 10.0):
        torch.manual_seed(0)
        model = CSRAE(digits.event_shape, latent_dim=5, encoder=NETWORK, decoder=NETWORK, scale=scale)
        fit(model, digits, max_epochs=12, lr=3e-3, seed=0, progress=False, warmup=LinearWarmup(epochs=2))
        terms = model.terms(x)
        reconstructions.append(terms["reconstruction"].mean().item())
        divergences.append(terms["divergence"].mean().item() / scale)
    assert reconstructions[0] < reconstructions[1] - 0.5 < reconstructions[2] - 1.0
    assert divergences[0] > divergences[1] + 0.5 > divergences[2] + 1.0


@pytest.mark.parametrize("name", FAMILY)
def test_every_recipe_of_the_family_builds_and_takes_a_step(name: str) -> None:
    recipe = read_recipe(name)
    shape = SHAPES.get(recipe.sections["data"]["name"], (1, 28, 28))
    data = type(
        "Data", (), {"event_shape": shape, "train": type("Part", (), {"values": lambda _: torch.rand(400, *shape)})()}
    )
    model = build_model(recipe, data, seed=0)
    assert fit_options(recipe)["max_epochs"] >= 1
    x = torch.rand(3, *shape)
    loss, terms = model.objective().loss_and_terms(model.model, model.guide, x)
    loss.backward()
    torch.testing.assert_close(sum(terms.values()), loss, rtol=1e-4, atol=1e-3)
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vae-digits", "csrae-digits", "mixture-csrae-digits"])
def test_digits_recipes(tmp_path, name: str) -> None:
    """The errors of the nearest neighbours on posterior means, with room for another machine's arithmetic."""
    results = train(read_recipe(name), out=tmp_path / name, progress=False).evaluation.results
    assert results["kNN error of means, k = 3 (%)"] < 9
    assert results["log-likelihood"] > -25
