"""The semi-supervised model: its objective against plain sums, missing labels, and stock Pyro."""

from __future__ import annotations

import copy
import math

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Predictive, TraceEnum_ELBO
from torch.nn.functional import binary_cross_entropy_with_logits

import pyro_mixvae
from pyro_mixvae.infer import TraceDivergence_ELBO
from pyro_mixvae.models import SemiSupervisedCSRAE
from tests.models import semi_supervised_by_hand as hand

KINDS = {
    "labelled": torch.tensor([0, 2, 1, 1, 0]),
    "unlabelled": torch.full((5,), -1),
    "mixed": torch.tensor([2, -1, -1, 0, -1]),
}
CHOICES = {
    "Mixture-CSRAE": {"prior": "gaussian-mixture", "num_components": 4, "scale": 0.7},
    "CSRAE": {"beta": 0.3, "alpha": 5.0},
    "M2": {"divergence": "kl"},
}


@pytest.fixture
def same_noise(monkeypatch):
    """Every standard normal draw is a function of the place in the tensor alone."""
    values = torch.randn(3, 5, 2, dtype=torch.float64)

    def draw(shape, dtype=None, device=None):
        return values[: shape[0], :, :].to(dtype) if len(shape) == 3 else values[0].to(dtype)

    monkeypatch.setattr("torch.distributions.normal._standard_normal", draw)
    return values


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("choice", CHOICES)
def test_objective_is_the_sum_written_out(kind, choice, same_noise, float64) -> None:
    model, y = hand.tiny(**CHOICES[choice]), KINDS[kind]
    x = torch.rand(5, 6)
    elbo = model.objective()(model.model, model.guide)
    loss = elbo(x, y) / 5
    loss.backward()
    found = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad()
    expected = -hand.objective(model, x, y, same_noise)
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-10)
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(found[name], parameter.grad, rtol=1e-8, atol=1e-10)
    assert math.isclose(sum(elbo.last_terms.values()).item() / 5, expected.item(), rel_tol=1e-10)


def test_no_labels_are_all_missing(same_noise, float64) -> None:
    """y = None and y = -1 for all data: one objective."""
    model, x = hand.tiny(beta=0.5), torch.rand(5, 6)
    losses = [model.objective().loss(model.model, model.guide, x, y) for y in (None, KINDS["unlabelled"])]
    assert math.isclose(*losses, rel_tol=1e-12)


@pytest.mark.parametrize("choice", CHOICES)
def test_labelled_and_unlabelled_agree_where_the_classifier_is_sure(choice, float64) -> None:
    """With q(y | x) one-hot at the label the classification term is 0 and the other terms are the same."""
    model, x = hand.tiny(**CHOICES[choice]), torch.rand(5, 6)
    with torch.no_grad():
        model.classifier.layers[-1].weight.zero_()
        model.classifier.layers[-1].bias.copy_(torch.tensor([-800.0, 0.0, -800.0]))
    kinds = torch.ones(5, dtype=torch.int64), torch.full((5,), -1)
    # at the posterior means both see the same codes
    first, second = ({name: t.mean() for name, t in _terms_at_means(model, x, y).items()} for y in kinds)
    for name in ("reconstruction", "divergence", "label_divergence"):
        torch.testing.assert_close(first[name], second[name], rtol=1e-10, atol=1e-10)
    assert first["classification"] == 0
    torch.testing.assert_close(first["label_divergence"].item(), model.beta * math.log(3))


def _terms_at_means(model, x, y):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "torch.distributions.normal._standard_normal",
            lambda shape, dtype, device: torch.zeros(shape, dtype=dtype, device=device),
        )
        return model.terms(x, y)


@pytest.mark.parametrize("kind", KINDS)
def test_m2_is_stock_pyros_bound(kind, float64) -> None:
    """With the KL, and each datum counted once, TraceEnum_ELBO has the same expectation.

    20 means of 200 draws: a false alarm beyond 4.5 standard errors happens once in 4,000 tests.
    """
    model, x, y = hand.tiny(divergence="kl", beta=1.0, alpha=2.0), torch.rand(5, 6), KINDS[kind]
    moments = []
    for kind_of_bound in (TraceEnum_ELBO, TraceDivergence_ELBO):
        elbo = kind_of_bound(num_particles=200, vectorize_particles=True, max_plate_nesting=1)
        values = torch.tensor([elbo.loss(model.model, model.guide, x, y) for _ in range(20)])
        moments.append((values.mean(), values.std() / math.sqrt(len(values))))
    (stock, stock_error), (ours, error) = moments
    assert (stock - ours).abs() < 4.5 * (stock_error.square() + error.square()).sqrt()


def test_stock_svi_trains_it(no_global_parameters) -> None:
    model, x, y = hand.tiny(divergence="kl"), torch.rand(5, 6), KINDS["mixed"]
    before = copy.deepcopy(model.state_dict())
    svi = SVI(model.model, model.guide, pyro.optim.Adam({"lr": 1e-2}), TraceEnum_ELBO(max_plate_nesting=1))
    svi.step(x, y)
    assert all(
        not torch.equal(value, before[name]) for name, value in model.state_dict().items() if "prior" not in name
    )


def test_particles_are_averaged(float64) -> None:
    """The expectation over z is that of one particle; the terms without noise are the same in each draw."""
    one, x, y = hand.tiny(**CHOICES["Mixture-CSRAE"]), torch.rand(5, 6), KINDS["mixed"]
    many = hand.tiny(**CHOICES["Mixture-CSRAE"], num_particles=7)
    many.load_state_dict(one.state_dict())
    first, second = one.terms(x, y), many.terms(x, y)
    for name in ("divergence", "label_divergence", "classification"):
        torch.testing.assert_close(first[name], second[name])


def test_vamp_prior_is_the_encoder_at_its_expected_label(float64) -> None:
    model = hand.tiny(prior="vamp", num_components=4, divergence="kl")
    mixture, inputs = model.latent_prior(), model.prior.pseudo_inputs
    vectors = model.predict_proba(inputs)
    label = vectors @ model.label_encoder(torch.eye(3))
    loc, _ = model.posterior(torch.cat([model.encoder(inputs), label], -1)).chunk(2, -1)
    torch.testing.assert_close(mixture.locs, loc)
    model.objective()(model.model, model.guide)(torch.rand(5, 6), KINDS["mixed"]).backward()
    assert model.prior.inputs.grad.abs().sum() > 0


# --- yes-or-no labels ------------------------------------------------------------------------------------------------


def test_yes_or_no_labels(float64, monkeypatch) -> None:
    """The objective with relaxed labels, written out at one draw of them and of z."""
    model = hand.tiny(num_labels=2, beta=0.4, alpha=3.0, temperature=0.5)
    x, y = torch.rand(4, 6), torch.tensor([[0, 1], [-1, -1], [1, -1], [-1, -1]])
    uniform, noise = torch.rand(4, 2), torch.randn(4, 2)
    monkeypatch.setattr("torch.distributions.normal._standard_normal", lambda *_, **__: noise)
    monkeypatch.setattr(torch, "rand", lambda *_, **__: uniform)
    loss = model.objective()(model.model, model.guide)(x, y) / 4

    logits = model.classifier(model.encoder(x))
    relaxed = torch.sigmoid((logits + uniform.log() - (-uniform).log1p()) / 0.5)
    vectors = torch.where(y >= 0, y.to(x), relaxed)
    probs = logits.sigmoid()
    kl = (probs * (probs / 0.5).log() + (1 - probs) * ((1 - probs) / 0.5).log()).sum(-1)
    cross = (binary_cross_entropy_with_logits(logits, y.clamp(min=0).to(x), reduction="none") * (y >= 0)).sum(-1)
    found = [hand.pieces(model, x[n], vectors[n], noise[n]) for n in range(4)]
    values = torch.stack([f["log_likelihood"] - model.scale * f["divergence"] for f in found]) - 0.4 * kl - 3 * cross
    known = (y >= 0).any(-1)
    torch.testing.assert_close(-loss, values[known].mean() + values[~known].mean(), rtol=1e-9, atol=1e-9)


# --- what one does with it -------------------------------------------------------------------------------------------


def test_predictions_and_views() -> None:
    model, x = hand.tiny(**CHOICES["Mixture-CSRAE"]), torch.rand(5, 6)
    torch.testing.assert_close(model.predict_proba(x), hand.log_q(model, x).exp())
    torch.testing.assert_close(model.predict_proba(x).sum(-1), torch.ones(5))
    assert model.responsibilities(x).shape == (5, 4)
    torch.testing.assert_close(model.log_responsibilities(x).exp(), model.responsibilities(x))
    assert model.sample(3, component=1, y=torch.tensor([0, 1, 2])).shape == (3, 6)
    assert model.decode(torch.zeros(7, 2)).batch_shape == (7,)
    sure = model.predict_proba(x).argmax(-1)
    torch.testing.assert_close(model.encode(x).mean, model.encode(x, sure).mean)
    torch.testing.assert_close(model.encode(x, torch.full((5,), -1)).mean, model.encode(x, sure).mean)
    torch.testing.assert_close(model.reconstruct(x), model.reconstruct(x, sure))
    for labels in (hand.tiny(num_labels=2), hand.tiny()):
        assert labels.log_likelihood(x, 5).shape == (5,) and labels.sample(4).shape == (4, 6)


def test_log_likelihood_sums_the_classes_out(float64) -> None:
    """With a decoder and an encoder that ignore z, the estimate is exact: log mean over y of p(x | y)."""
    model, x = hand.tiny(divergence="kl"), torch.rand(5, 6)
    with torch.no_grad():
        model.decoder.layers[0].weight[:, :2] = 0
        model.posterior.layers[-1].weight.zero_()
        model.posterior.layers[-1].bias.copy_(torch.tensor([0.0, 0.0, *[math.log(math.expm1(1 - 1e-4))] * 2]))
    every = torch.stack([model.decode(torch.zeros(5, 2), torch.full((5,), k)).log_prob(x) for k in range(3)])
    expected = every.logsumexp(0) - math.log(3)
    torch.testing.assert_close(model.log_likelihood(x, 3), expected)


def test_handlers() -> None:
    model, x = hand.tiny(), torch.rand(5, 6)
    draws = Predictive(model.model, num_samples=4, return_sites=["y", "z"])(x)
    assert draws["y"].shape == (4, 5) and draws["z"].shape == (4, 5, 2)
    fixed = poutine.condition(model.model, data={"z": torch.zeros(5, 2)})
    assert poutine.trace(fixed).get_trace(x, KINDS["mixed"]).nodes["z"]["is_observed"]


def test_images_and_files(tmp_path) -> None:
    convolution = {"kind": "conv", "layers": [[4, 3, 2, 1]], "hidden_dims": []}
    model = SemiSupervisedCSRAE((1, 8, 8), num_classes=3, encoder=convolution, prior="vamp", num_components=2)
    model.eval()
    x = torch.rand(5, 1, 8, 8)
    copied = pyro_mixvae.load(pyro_mixvae.save(model, tmp_path))
    torch.testing.assert_close(copied.predict_proba(x), model.predict_proba(x))
    assert model.config["encoder"] == convolution


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": None}, "num_classes: expected either num_classes or num_labels, got None and None"),
        ({"num_classes": 1}, "num_classes: expected an integer >= 2, got 1"),
        ({"alpha": -1.0}, "alpha: expected a finite number >= 0, got -1.0"),
        ({"beta": 0.0}, "beta: expected a finite number > 0, got 0.0"),
        ({"num_labels": 2, "temperature": 0.0}, "temperature: expected a finite number > 0"),
        ({"divergence": "renyi"}, "divergence: expected one of"),
        ({"feature_dim": 0}, "feature_dim: expected integers >= 1, got 0"),
    ],
)
def test_bad_arguments(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        hand.tiny(**options)


def test_labels_outside_their_range_where_one_looks() -> None:
    model, x = hand.tiny(), torch.rand(5, 6)
    for look in (model.encode, model.reconstruct, model.terms):
        with pytest.raises(ValueError, match=r"y: expected labels in -1..2, got labels in 7..7"):
            look(x, torch.full((len(x),), 7))
        with pytest.raises(ValueError, match=r"y: expected one .* for each of \d data, got shape \[1\]"):
            look(x, torch.zeros(1, dtype=torch.int64))
    with pytest.raises(ValueError, match="y: expected every label to be given, got -1"):
        model.sample(2, y=torch.tensor([0, -1]))


def test_bad_labels() -> None:
    model, x = hand.tiny(), torch.rand(5, 6)
    with pytest.raises(ValueError, match=r"y: expected labels in -1..2, got labels in 0..3"):
        model.check(x, torch.tensor([0, 1, 2, 3, 0]))
    with pytest.raises(ValueError, match="y: expected one label for each of 5 data"):
        model.check(x, torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match="y: expected integer labels"):
        model.check(x, torch.zeros(5))
    with pytest.raises(ValueError, match=r"y: expected shape \[5, 2\]"):
        hand.tiny(num_labels=2).check(x, torch.zeros(5, dtype=torch.int64))
    for y in (None, torch.full((5,), -1)):
        with pytest.raises(ValueError, match="y: expected labels for some of the training data"):
            model.check_training(y)
