"""Five arcs: without the minimum-information constraint the clusters are lost, with it they are found (section 4.1)."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from pyro_mixvae.data import DataSet, load
from pyro_mixvae.metrics import clustering_accuracy, gaussian_mixture_baseline
from pyro_mixvae.models import GMVAE
from pyro_mixvae.training import LinearWarmup, fit
from pyro_mixvae.training.recipe import Recipe, read_recipe
from pyro_mixvae.training.run import build_model, fit_options


def trained(data: DataSet, floor: float, **changes: Any) -> GMVAE:
    recipe = read_recipe("gmvae-arcs")
    sections = {**recipe.sections, "objective": {**recipe.sections["objective"], "c_prior_floor": floor}}
    recipe = Recipe(recipe.name, recipe.description, sections)
    model = build_model(recipe, data, seed=0)
    fit(model, data, seed=0, progress=False, **{**fit_options(recipe), **changes})
    assert isinstance(model, GMVAE)
    return model


def c_prior(model: GMVAE, x: torch.Tensor) -> float:
    """E KL(p(c | z, w) || 1/K), whatever its floor."""
    # one draw at a time: averaged over draws, confident but fickle assignments would look undecided
    draws = torch.stack([model.responsibilities(x, num_samples=1) for _ in range(10)])
    return (math.log(model.num_components) + torch.xlogy(draws, draws).sum(-1)).mean().item()


@pytest.mark.slow
def test_the_recipe_separates_the_arcs_and_its_density_beats_a_gaussian_mixture() -> None:
    data = load("arcs")
    constrained = trained(data, floor=1.0)
    plain = trained(data, floor=0.0)
    x, y = data.test.x, data.test.y
    assert c_prior(plain, x) < 0.01
    assert c_prior(constrained, x) > 1.5
    assert clustering_accuracy(constrained.responsibilities(x), y) > 0.98
    assert clustering_accuracy(plain.responsibilities(x), y) < 0.7
    mixture = gaussian_mixture_baseline(data.train.x, x, num_components=10)
    assert constrained.log_likelihood(x, 500).mean().item() > mixture["log_likelihood"]


def test_the_plain_objective_collapses_at_once() -> None:
    """Figure 3a in seconds: the paper's objective without warm-up, on fewer data."""
    data = load("arcs", num_points=4000, num_test=1000)
    model = trained(data, floor=0.0, max_epochs=8, warmup=None, schedule=None)
    assert c_prior(model, data.test.x) < 0.01


def test_the_constrained_recipe_spreads_the_clusters() -> None:
    """Figure 3b in seconds: the recipe, four times shorter and on fewer data."""
    data = load("arcs", num_points=4000, num_test=1000)
    model = trained(data, floor=1.0, max_epochs=30, warmup=LinearWarmup(epochs=12, sites=["z"]))
    assert c_prior(model, data.test.x) > 0.8
