"""One objective, four ways to evaluate it; its terms by site; warm-up weights."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch

from pyro_mixvae.infer import KL, FreeBits, TraceDivergence_ELBO
from tests.infer.pairs import LinearGaussian, Mixture, gradients, standard_normal_draws

pytestmark = pytest.mark.usefixtures("float64")

CASES = {
    "plain": (lambda: LinearGaussian(), {}),
    "guide": (lambda: Mixture(), {}),
    "guide, closed form": (lambda: Mixture(), {"divergences": {"z": KL(), "c": FreeBits(KL(), 1.0)}}),
    "model": (lambda: Mixture(enumerate_in="model"), {}),
    "sequential": (lambda: Mixture(how="sequential"), {}),
    "particles": (lambda: Mixture(), {"num_particles": 4}),
    "particles one by one": (lambda: Mixture(), {"num_particles": 4, "vectorize_particles": False}),
    "one datum": (lambda: Mixture(1), {"num_particles": 2}),
}


@pytest.fixture(params=CASES)
def case(request):
    build, options = CASES[request.param]
    return build(), TraceDivergence_ELBO(**{"max_plate_nesting": 1} | options)


def seeded(call):
    pyro.set_rng_seed(3)
    return call()


def test_four_ways_agree(case):
    pair, elbo = case
    args = pair.model, pair.guide, pair.x
    expected = seeded(lambda: elbo.differentiable_loss(*args))
    assert expected.shape == () and expected.requires_grad
    value = seeded(lambda: elbo.loss(*args))
    assert isinstance(value, float) and value == pytest.approx(expected.item(), rel=1e-12)
    loss, terms = seeded(lambda: elbo.loss_and_terms(*args))
    torch.testing.assert_close(loss, expected)
    assert all(term.shape == () for term in terms.values())
    torch.testing.assert_close(sum(terms.values()), expected)
    value = seeded(lambda: elbo.loss_and_grads(*args))
    assert isinstance(value, float) and value == pytest.approx(expected.item(), rel=1e-12)
    for name, gradient in gradients(expected, pair).items():
        found = pair.get_parameter(name).grad
        torch.testing.assert_close(torch.zeros_like(gradient) if found is None else found, gradient)


def test_bound_module_is_the_same_objective(case):
    pair, elbo = case
    module = elbo(pair.model, pair.guide)
    expected, terms = seeded(lambda: elbo.loss_and_terms(pair.model, pair.guide, pair.x))
    torch.testing.assert_close(seeded(lambda: module(pair.x)), expected)
    assert module.last_terms.keys() == terms.keys()
    for name, term in module.last_terms.items():
        assert not term.requires_grad
        torch.testing.assert_close(term, terms[name].detach())


def test_terms_per_datum(case):
    """Every site lies in the plate: [B] each, B = 1 too; they sum to the terms of the whole batch."""
    pair, elbo = case
    loss, per_datum = seeded(lambda: elbo.loss_and_terms(pair.model, pair.guide, pair.x, per_datum=True))
    _, whole = seeded(lambda: elbo.loss_and_terms(pair.model, pair.guide, pair.x))
    assert per_datum.keys() == whole.keys()
    for name, term in per_datum.items():
        assert term.shape == (len(pair.x),)
        torch.testing.assert_close(term.sum(), whole[name])
    torch.testing.assert_close(sum(term.sum() for term in per_datum.values()), loss)


def test_names_of_terms():
    for pair, names in [(Mixture(), {"x", "z", "c"}), (Mixture(enumerate_in="model"), {"x", "z", "c"})]:
        _, terms = TraceDivergence_ELBO(max_plate_nesting=1).loss_and_terms(pair.model, pair.guide, pair.x)
        assert terms.keys() == names


def test_weighted():
    """A warm-up's weights multiply divergences, named or not, and leave the objective itself as it was."""
    pair, noise = Mixture(), torch.randn(3)
    elbo = TraceDivergence_ELBO({"z": 2 * KL()}, max_plate_nesting=1)
    weight = torch.tensor(0.25)
    warm = elbo.weighted({"z": weight, "c": weight})

    def terms_of(objective):
        with standard_normal_draws(noise):
            return objective.loss_and_terms(pair.model, pair.guide, pair.x)[1]

    plain, scaled = terms_of(elbo), terms_of(warm)
    torch.testing.assert_close(scaled, {"x": plain["x"], "z": plain["z"] / 4, "c": plain["c"] / 4})
    weight.fill_(1.0)
    torch.testing.assert_close(terms_of(warm), plain)
    assert repr(elbo.divergences) == "{'z': 2 * KL()}"


def test_weight_zero_keeps_the_enumeration():
    """Without its divergence, c is still summed out with the guide's probabilities."""
    pair, noise = Mixture(), torch.randn(3)
    elbo = TraceDivergence_ELBO({"z": KL()}, max_plate_nesting=1)
    with standard_normal_draws(noise, noise):
        _, plain = elbo.loss_and_terms(pair.model, pair.guide, pair.x)
        _, warm = elbo.weighted({"c": torch.tensor(0.0)}).loss_and_terms(pair.model, pair.guide, pair.x)
    torch.testing.assert_close(warm["z"], plain["z"])
    assert warm["c"] == 0


def test_a_plate_of_another_name_is_summed():
    def run(loc):
        with pyro.plate("words", 3):
            pyro.sample("z", dist.Normal(loc, 1.0))

    _, terms = TraceDivergence_ELBO(max_plate_nesting=1).loss_and_terms(
        lambda: run(torch.zeros(3)), lambda: run(torch.ones(3)), per_datum=True
    )
    torch.testing.assert_close(terms["z"], torch.tensor(1.5))
