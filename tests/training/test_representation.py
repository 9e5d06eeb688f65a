"""The codes' scores in a run's table."""

from __future__ import annotations

import pytest
import torch

from pyro_mixvae.data import DataSet, Split, bernoulli_draw, load
from pyro_mixvae.metrics import active_units, knn_error, reconstruction_error
from pyro_mixvae.models import CSRAE, GMVAE, VAE
from pyro_mixvae.training import fit
from pyro_mixvae.training.evaluation import SHOWN_COMPONENTS, evaluate
from pyro_mixvae.training.module import TrainingModule
from pyro_mixvae.training.representation import as_trained, encoded, representation_scores
from pyro_mixvae.training.schedules import default_optimizer

SMALL = {"kind": "mlp", "hidden_dims": [16]}


def small(cls: type[VAE] = VAE, **options) -> VAE:
    return cls((1, 8, 8), **{"latent_dim": 3, "encoder": SMALL, "decoder": SMALL} | options)


def test_scores_are_those_of_the_metrics() -> None:
    digits, model = load("digits"), small().eval()
    x, y = digits.test.values(), digits.test.y
    scores = representation_scores(model, digits, x, y)
    means, _ = encoded(model, x)
    train_means, _ = encoded(model, digits.train.values())
    for k, error in knn_error(train_means, digits.train.y, means, y).items():
        assert scores[f"kNN error of means, k = {k} (%)"] == pytest.approx(error)
        assert f"kNN error, k = {k} (%)" in scores
    assert scores["active units"] == active_units(means)
    assert scores["reconstruction error"] == pytest.approx(reconstruction_error(x, model.reconstruct(x)))


def test_without_labels_and_with_several_latent_variables() -> None:
    digits, x = load("digits"), load("digits").test.values()
    assert set(representation_scores(small(), digits, x, None)) == {"active units", "reconstruction error"}
    gmvae = GMVAE((1, 8, 8), latent_dim=2, num_components=2, style_dim=2, encoder=SMALL, decoder=SMALL)
    assert representation_scores(gmvae, digits, x, None) == {}


def test_neighbours_are_binarised_as_in_training() -> None:
    data = DataSet("grey", Split(torch.full((600, 4), 0.3)), None, None, None, (), "", transform=bernoulli_draw)
    x = as_trained(data, torch.float32)
    assert set(x.unique().tolist()) == {0.0, 1.0}
    assert abs(x.mean() - 0.3) < 4.5 * (0.21 / 2400) ** 0.5


@pytest.mark.parametrize("prior", ["standard-normal", "vamp"])
def test_every_model_of_the_family_is_evaluated(prior) -> None:
    digits = load("digits")
    part = DataSet("few", Split(digits.train.x[:60], digits.train.y[:60]), None, None, 10, digits.class_names, "")
    options = {} if prior == "standard-normal" else {"num_components": SHOWN_COMPONENTS + 5}
    result = evaluate(small(prior=prior, **options), part, num_samples=2)
    assert result.results["active units"] >= 0
    expected = {"samples"} if prior == "standard-normal" else {"components", "clusters"}
    assert set(result.figures) == {"reconstructions", "latent"} | expected


def test_held_out_data_are_judged_at_scale_one() -> None:
    digits, model = load("digits"), small(CSRAE, scale=0.1)
    part = DataSet("few", Split(digits.train.x[:60]), Split(digits.train.x[60:90]), None, None, (), "")
    row = fit(model, part, max_epochs=1, seed=0, progress=False).history[-1]
    x = part.validation.values()
    terms = {name: term.mean().item() for name, term in model.terms(x).items()}
    # the divergence has no noise: at scale 1 it is ten times the training objective's
    assert row["validation/divergence"] == pytest.approx(10 * terms["divergence"], rel=1e-4)
    assert row["validation/loss"] == pytest.approx(row["validation/reconstruction"] + row["validation/divergence"])


def test_an_objective_of_the_caller_judges_itself() -> None:
    model = small(CSRAE, scale=0.1)
    module = TrainingModule(model, model.objective(), lambda parameters: default_optimizer(parameters, 1e-3))
    assert module.validation_objective is module.objective


@pytest.mark.parametrize("num_labelled", [0, 2, 3])
def test_few_training_labels_or_none(num_labelled) -> None:
    digits = load("digits")
    y = torch.where(torch.arange(60) < num_labelled, digits.train.y[:60], -1)
    part = DataSet("few", Split(digits.train.x[:60], y), None, None, 10, digits.class_names, "")
    scores = representation_scores(small().eval(), part, digits.test.values()[:20], digits.test.y[:20])
    neighbours = {"kNN error, k = 3 (%)", "kNN error of means, k = 3 (%)"} if num_labelled == 3 else set()
    assert set(scores) == neighbours | {"active units", "reconstruction error"}
