"""What a report says of an MVAE."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pyro_mixvae.data import Split, load
from pyro_mixvae.models import MVAE
from pyro_mixvae.models.mvae_analysis import latent_codes, off_diagonal_mean, pairwise_dhsic
from pyro_mixvae.training.mixture_views import mixture_figures, mixture_scores
from pyro_mixvae.training.recipe import read_recipe
from pyro_mixvae.training.run import train

SMALL = {"kind": "mlp", "hidden_dims": [8]}


def digit_model(**options) -> MVAE:
    defaults = {"latent_dim": 2, "num_components": 3, "encoder": SMALL, "mixed_shape": (8,), "decoder": SMALL}
    return MVAE((1, 8, 8), **{**defaults, **options}).eval()


def test_scores():
    model, digits = digit_model(dropout="gaussian", per_component=True), load("digits")
    with torch.no_grad():
        model.masks.logit[1] = 4.0
    x = digits.test.x
    scores = mixture_scores(model, digits, digits.test, x)
    error = (model.reconstruct(x) - x).square().sum((1, 2, 3)).mean().item()
    assert scores["reconstruction error"] == pytest.approx(error)
    assert scores["RMSE"] == pytest.approx(error**0.5)
    assert scores["mean pairwise dHSIC"] == pytest.approx(off_diagonal_mean(pairwise_dhsic(model, x)))
    assert scores["selected K (components on)"] == 2
    assert 0 <= scores["kNN accuracy, best component (%)"] <= 100
    assert latent_codes(model, x).shape == (360, 3, 2)


def test_selected_k_is_named_by_its_threshold():
    digits = load("digits")
    for dropout, name in {"gaussian": "selected K (masks >= 0.8)", "gumbel": "selected K (masks >= 0.1)"}.items():
        assert name in mixture_scores(digit_model(dropout=dropout), digits, digits.test, digits.test.x)
    assert not any("selected" in name for name in mixture_scores(digit_model(), digits, digits.test, digits.test.x))


def test_a_component_that_has_collapsed_is_not_counted():
    model, digits = digit_model(), load("digits")
    with torch.no_grad():
        # the last layer's rows of one component's means, and of half of another's
        for parameter in model.encoder.layers[-1].parameters():
            parameter[0, ..., :2] = 0
            parameter[1, ..., :1] = 0
            parameter[1:] *= 10
    varies = latent_codes(model, digits.test.x).var(0) > 0.01
    assert varies.tolist() == [[False, False], [False, True], [True, True]]
    scores = mixture_scores(model, digits, digits.test, digits.test.x)
    assert scores["active units"] == 3
    assert scores["components with active units"] == 2


EVERY = ["views", "components", "crossed", "shared_noise", "traversals"]
PAIRS = ["interpolations", "interpolations_across"]
CODES = ["latent", "latent_together", "dependence", "selection"]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"dropout": "gumbel"}, EVERY + PAIRS + CODES),
        ({"num_classes": 10}, EVERY + CODES),
        ({"num_components": 1, "beta": 0.0}, [*EVERY, "interpolations", "latent", "selection"]),
    ],
    ids=["plain", "labels", "one component"],
)
def test_figures(options, names):
    model, digits = digit_model(**options), load("digits")
    history = [{"selected_components": 3.0, "dropout_rate": 0.1 * epoch} for epoch in (1, 2, 3)]
    few = Split(digits.test.x[:60], digits.test.y[:60])
    drawn = mixture_figures(model, digits, few, few.x, history)
    assert list(drawn) == names


@pytest.mark.slow
def test_the_recipe_on_digits(tmp_path: Path):
    recipe = read_recipe("mvae-digits")
    recipe.sections["trainer"]["max_epochs"] = 2
    run = train(recipe, tmp_path / "run", progress=False)
    assert run.evaluation.results["selected K (components on)"] == 6
    assert (run.folder / "selection.png").exists()
    assert "dropout_rate_5" in (run.folder / "metrics.csv").read_text()


@pytest.mark.parametrize(("num_data", "known"), [(1, 60), (20, 0), (20, 4)])
def test_too_few_data_or_labels_leave_rows_and_figures_out(num_data, known):
    digits, model = load("digits"), digit_model(latent_dim=3)
    y = torch.where(torch.arange(60) < known, digits.train.y[:60], -1)
    train, test = Split(digits.train.x[:60], y), Split(digits.test.x[:num_data], digits.test.y[:num_data])
    data = replace(digits, train=train, validation=None, test=test)
    scores = mixture_scores(model, data, test, test.x)
    assert any("kNN" in name for name in scores) == (known >= 5)
    assert ("mean pairwise dHSIC" in scores) == (num_data > 1)
    drawn = mixture_figures(model, data, test, test.x, [])
    assert ("latent" in drawn) == ("dependence" in drawn) == (num_data > 1)
