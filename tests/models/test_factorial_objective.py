"""The factorial mixture's objective against equations 4 and 8 by hand, and against Pyro's own estimate."""

from __future__ import annotations

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Predictive, TraceEnum_ELBO

from pyro_mixvae.infer import ConjugateSVI, TraceConjugate_ELBO
from pyro_mixvae.testing import assert_close_in_standard_errors
from tests.infer.pairs import gradients
from tests.models.factorial_by_hand import bound_by_hand, expected_log_joint, tiny_data, tiny_factorial

pytestmark = pytest.mark.usefixtures("float64", "no_global_parameters")

LABELS = {
    "none": ({}, None),
    "one": ({"labelled": [1]}, torch.tensor([0, 1, 2, -1] * 3)),
    "two": ({"labelled": [1, 0]}, torch.tensor([[0, 1], [2, -1], [-1, -1], [1, 0]] * 3)),
    "weighted": ({"labelled": [1], "label_weight": 3.0}, torch.tensor([0, 1, 2, -1] * 3)),
}


@pytest.mark.parametrize("num_particles", [1, 4])
@pytest.mark.parametrize("case", LABELS)
def test_equations_4_and_8(case, num_particles):
    options, y = LABELS[case]
    model, x = tiny_factorial(num_particles=num_particles, **options), tiny_data()
    loss, terms = model.objective().loss_and_terms(model.model, model.guide, x, y)
    by_hand = bound_by_hand(model, x, y)
    for name, expected in by_hand.items():
        if name != "labels" or options.get("label_weight"):
            torch.testing.assert_close(terms[name] / 60, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(loss, sum(terms.values()))
    # the same gradients, q(xi)'s included where it follows them
    of_prior = (loss - terms["x"]) / 60
    assert_same_gradients(of_prior, sum(by_hand.values()), model)


def assert_same_gradients(first, second, model):
    found, expected = gradients(first, model), gradients(second, model)
    assert found.keys() == expected.keys()
    for name in found:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-8, atol=1e-10)


def test_terms_are_per_datum_and_sum_to_the_loss():
    model, x = tiny_factorial(), tiny_data()
    by_hand = bound_by_hand(model, x)
    terms = model.terms(x)
    assert list(terms) == ["reconstruction", "kl_z", "kl_r", "kl_components", "kl_weights"]
    assert [term.shape for term in terms.values()] == [(12,), (12,), (12,), (), ()]
    for name, site in {"kl_z": "z", "kl_r": "r", "kl_components": "components", "kl_weights": "pi"}.items():
        torch.testing.assert_close(terms[name].mean(), by_hand[site].detach())
    torch.manual_seed(3)
    loss = model.objective().loss(model.model, model.guide, x) / model.num_data
    torch.manual_seed(3)
    assert sum(term.mean() for term in model.terms(x).values()).item() == pytest.approx(loss)


@pytest.mark.parametrize(
    "case", ["none", "one", *(pytest.param(c, marks=pytest.mark.slow) for c in ("two", "weighted"))]
)
def test_stock_enumeration_estimates_the_same_bound(case):
    """100 draws each; the mean of their differences is 0 within 4.5 standard errors."""
    options, y = LABELS[case]
    model, x = tiny_factorial(**options), tiny_data()
    ours, stock = model.objective(), TraceEnum_ELBO(max_plate_nesting=1)
    draws = [
        torch.tensor([elbo.loss(model.model, model.guide, x, y) for _ in range(100)]) / 60 for elbo in (ours, stock)
    ]
    assert_close_in_standard_errors(draws[1] - draws[0], 0.0)
    assert draws[0].var() < draws[1].var()


def test_the_prior_terms_have_no_noise():
    """A decoder that does not look at z leaves the prior terms alone: stock's draws vary, the closed form does not."""
    model, x = tiny_factorial(), tiny_data()
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.zero_()
    ours, stock = model.objective(), TraceEnum_ELBO(max_plate_nesting=1)
    variances = [
        torch.tensor([elbo.loss(model.model, model.guide, x) / 60 for _ in range(30)]).var() for elbo in (ours, stock)
    ]
    assert 5 * variances[0] <= variances[1]
    assert variances[0] < 1e-20


def test_gamma_may_be_detached_at_weight_one():
    """gamma is the bound's optimum, so that its own dependence on the encoder does not change the gradient."""
    model, x = tiny_factorial(), tiny_data()
    attached = torch.zeros(())
    for i in range(2):
        densities, log_weights = expected_log_joint(model, x, i)
        scale = model.encode(x)[f"z_{i}"].base_dist.scale
        attached = attached - ((densities + log_weights).logsumexp(-1) + scale.log().sum(-1)).mean()
    detached = bound_by_hand(model, x)
    encoder = {name for name, _ in model.named_parameters() if name.startswith("encoder")}
    found, expected = gradients(detached["z"] + detached["r"], model), gradients(attached, model)
    assert encoder <= found.keys()
    for name in encoder:
        torch.testing.assert_close(found[name], expected[name])


def test_up_weighting_the_kl_leaves_gamma_alone():
    model, x = tiny_factorial(), tiny_data()
    heavy = model.objective().weighted({"z": torch.tensor(20.0)})
    _, terms = heavy.loss_and_terms(model.model, model.guide, x)
    by_hand = bound_by_hand(model, x)
    torch.testing.assert_close(terms["z"] / 60, 20 * by_hand["z"])
    torch.testing.assert_close(terms["r"] / 60, by_hand["r"])


def test_weights_of_single_factors_and_of_unknown_terms():
    model, x = tiny_factorial(), tiny_data()
    one = model.objective().weighted({"z_0": torch.tensor(0.0)})
    _, terms = one.loss_and_terms(model.model, model.guide, x)
    assert terms["z"].detach() / 60 < bound_by_hand(model, x)["z"]
    with pytest.raises(ValueError, match="'w'"):
        model.objective().weighted({"w": torch.tensor(1.0)}).loss(model.model, model.guide, x)


def test_labels_that_are_all_missing_change_nothing():
    model, x = tiny_factorial(labelled=[0]), tiny_data()
    torch.manual_seed(1)
    without = model.objective().loss(model.model, model.guide, x)
    torch.manual_seed(1)
    missing = model.objective().loss(model.model, model.guide, x, torch.full((12,), -1))
    assert missing == pytest.approx(without)


def test_labels_of_unlabelled_models_are_not_looked_at():
    model, x = tiny_factorial(), tiny_data()
    torch.manual_seed(1)
    without = model.objective().loss(model.model, model.guide, x)
    torch.manual_seed(1)
    assert model.objective().loss(model.model, model.guide, x, torch.arange(12)) == without


def test_the_model_alone_honours_labels_and_conditioning():
    model, x = tiny_factorial(labelled=[1]), tiny_data()
    y = torch.tensor([0, 1, 2, -1] * 3)
    drawn = Predictive(model.model, num_samples=20, return_sites=("r_1", "z_0"))(x, y)
    assert drawn["z_0"].shape == (20, 12, 2)
    assert (drawn["r_1"] == y)[:, y >= 0].all()
    assert drawn["r_1"][:, y < 0].unique().numel() > 1
    r = torch.randint(3, (12,))
    conditioned = poutine.trace(poutine.condition(model.model, {"r_1": r})).get_trace(x)
    assert torch.equal(conditioned.nodes["r_1"]["value"], r)


@pytest.mark.parametrize("size", [2, 3])
def test_as_many_data_as_components(size):
    """A draw of as many numbers as there are components is not taken for their enumeration."""
    model, x = tiny_factorial([size]), tiny_data(size)
    trace = poutine.trace(model.model).get_trace(x)
    xi, r, z = (trace.nodes[name] for name in ("components_0", "r_0", "z_0"))
    assert z["value"].shape == (size, 2)
    torch.testing.assert_close(z["fn"].base_dist.loc, xi["value"][r["value"], :, 0])
    by_hand = bound_by_hand(model, x)
    _, terms = model.objective().loss_and_terms(model.model, model.guide, x)
    torch.testing.assert_close(terms["z"] / 60, by_hand["z"])


def test_responsibilities_in_single_precision():
    """Within 1e-3 nats of a float64 broadcast, with component scales down to a thousandth of the data's spread."""
    model = tiny_factorial([40], latent_dim=16, num_data=4000).float()
    x = torch.randn(30, 4).float()
    posterior = model.components[0]
    locs = 10 * torch.randn(40, 16)
    with torch.no_grad():
        posterior.set(100 * posterior.distribution().likelihood_statistics(locs, 10 ** (-2 * torch.rand(16))))
    *_, densities, _ = model._beliefs(x)[0]
    q = model.encode(x)["z_0"].base_dist
    exact = (
        posterior.distribution().expected_log_prob(q.loc.double().unsqueeze(1), q.scale.double().unsqueeze(1)).sum(-1)
    )
    torch.testing.assert_close(densities, exact, rtol=0, atol=1e-3)


def test_conjugate_terms_are_those_of_the_whole_objective():
    """The cheap way to the sufficient statistics, without the decoder, against differentiating everything."""
    model, x = tiny_factorial(labelled=[0]), tiny_data()
    y = torch.tensor([0, 1, -1] * 4)
    before = [posterior.natural.clone() for posterior in model.natural_posteriors()]
    model.after_step((x, y), 0)
    cheap = [posterior.natural.clone() for posterior in model.natural_posteriors()]
    for posterior, natural in zip(model.natural_posteriors(), before, strict=True):
        posterior.natural.copy_(natural)
        posterior.num_steps.zero_()
    model.conjugate_terms = None
    svi = ConjugateSVI(model.model, model.guide, pyro.optim.SGD({"lr": 0.0}), model.objective(), model.schedule)
    svi.step(x, y)
    for posterior, natural in zip(model.natural_posteriors(), cheap, strict=True):
        torch.testing.assert_close(posterior.natural, natural, rtol=1e-12, atol=1e-12)


def test_svi_trains_networks_and_posterior():
    model, x = tiny_factorial(), tiny_data()
    svi = ConjugateSVI(model.model, model.guide, pyro.optim.Adam({"lr": 1e-2}), model.objective())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    losses = [svi.step(x) for _ in range(60)]
    assert sum(losses[-10:]) < sum(losses[:10])
    assert all(not torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_stock_svi_trains_the_networks():
    model, x = tiny_factorial(), tiny_data()
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    SVI(model.model, model.guide, pyro.optim.Adam({"lr": 1e-2}), TraceEnum_ELBO(max_plate_nesting=1)).step(x)
    assert all(not torch.equal(value, before[name]) for name, value in model.named_parameters())


def test_the_example_of_a_divergence_at_an_observed_site_is_shown():
    assert "ExpectedNormalKL" in repr(tiny_factorial().objective())
    assert isinstance(tiny_factorial().objective(), TraceConjugate_ELBO)
