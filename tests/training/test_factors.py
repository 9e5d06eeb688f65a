"""What a report says of a factorial mixture, and its recipes from the data to the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pyro_mixvae.data import load
from pyro_mixvae.models import FactorialMixtureVAE
from pyro_mixvae.training.factors import factor_figures, factor_scores
from pyro_mixvae.training.recipe import read_recipe
from pyro_mixvae.training.run import train
from tests.data.test_celeba import write as write_celeba

SMALL = {"kind": "mlp", "hidden_dims": [8]}


def digit_model(**options) -> FactorialMixtureVAE:
    defaults = {"num_data": 1437, "latent_dim": 2, "num_components": [10, 3], "encoder": SMALL, "decoder": SMALL}
    return FactorialMixtureVAE((1, 8, 8), **{**defaults, **options}).eval()


def test_scores_of_a_labelled_and_a_free_factor():
    model, digits = digit_model(labelled=[0]), load("digits")
    x = digits.test.x
    scores = factor_scores(model, digits.test, x)
    assert list(scores) == [
        "factor 0: pruned components",
        "factor 0: accuracy",
        "factor 1: pruned components",
        "factor 1: accuracy (most-confident)",
        "factor 1: NMI",
    ]
    found = model.responsibilities(x)[0].argmax(-1)
    assert scores["factor 0: accuracy"] == pytest.approx((found == digits.test.y).float().mean().item())
    model.weights[1].set(torch.tensor([1400.0, 0.5, 36.0]))
    assert factor_scores(model, digits.test, x)["factor 1: pruned components"] == 1


def test_vade_has_no_pruned_components():
    model, digits = digit_model(xi="parameters", num_components=[10]), load("digits")
    assert list(factor_scores(model, digits.test, digits.test.x)) == [
        "factor 0: accuracy (most-confident)",
        "factor 0: NMI",
    ]


def test_figures():
    digits = load("digits")
    drawn = factor_figures(digit_model(), digits, digits.test.x[:100])
    assert list(drawn) == ["factor-0", "factor-1", "factors", "variations"]
    assert factor_figures(vectors(), digits, torch.rand(5, 4)) == {}


def vectors() -> FactorialMixtureVAE:
    return FactorialMixtureVAE((4,), 10, 2, [2], "normal", encoder=SMALL, decoder=SMALL).eval()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["factorial-digits", "vade-digits"])
def test_recipes_on_digits(tmp_path: Path, name):
    recipe = read_recipe(name)
    short = {"pretraining_epochs": 1, "max_epochs": 1}
    recipe.sections["trainer"] |= short | ({"seeding_epochs": 1} if name == "factorial-digits" else {})
    run = train(recipe, tmp_path / "run", progress=False)
    assert (run.folder / "results.json").exists()
    assert "factor 0: NMI" in run.evaluation.results or "factor 0: accuracy" in run.evaluation.results


@pytest.mark.slow
@pytest.mark.parametrize("name", ["factorial-celeba", "factorial-celeba-unsupervised"])
def test_recipes_on_faces(tmp_path: Path, name):
    """The recipe, its networks made narrow, on a folder of seven generated faces."""
    recipe = read_recipe(name)
    model, trainer, data = (recipe.sections[section] for section in ("model", "trainer", "data"))
    model["latent_dim"] = 2
    model["num_components"] = [min(size, 3) for size in model["num_components"]]
    for network in ("encoder", "decoder"):
        model[network] = model[network] | {"layers": [[4, *row[1:]] for row in model[network]["layers"]]}
    data["batch_size"] = 2
    trainer |= dict.fromkeys(trainer, 1)
    recipe.sections["objective"].get("warmup", {}).update(epochs=1)
    run = train(recipe, tmp_path / "run", data_dir=write_celeba(tmp_path / "data"), progress=False)
    results = json.loads((run.folder / "results.json").read_text())["results"]["FactorialMixtureVAE"]
    assert all(np.isfinite(value) for value in results.values())
    assert (run.folder / "variations.png").exists()
    if name == "factorial-celeba":
        assert {f"factor {i}: accuracy" for i in range(3)} <= set(results)
