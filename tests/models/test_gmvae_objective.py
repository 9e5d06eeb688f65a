"""The GMVAE's objective against equations 4 and 7 of the paper written by hand, at shared noise."""

from __future__ import annotations

import math

import pytest
import torch

from pyro_mixvae.infer import KL, FreeBits, TraceDivergence_ELBO
from tests.infer.pairs import assert_same_value_and_gradients, gradients
from tests.models.gmvae_by_hand import ByHand, tiny_data, tiny_gmvae

LIKELIHOODS = ["bernoulli", "normal", {"name": "normal", "scale": 0.3}]


def loss_at(seed, model, x):
    torch.manual_seed(seed)
    return model.objective().differentiable_loss(model.model, model.guide, x)


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=["bernoulli", "normal", "normal-fixed"])
@pytest.mark.parametrize("num_particles", [1, 5])
@pytest.mark.parametrize("num_components", [1, 3, 7])
def test_equation_4(num_components, num_particles, likelihood):
    model = tiny_gmvae(num_components, likelihood, num_particles=num_particles)
    x = tiny_data()
    by_hand = ByHand(model, x, 1, num_particles).equation4()
    assert_same_value_and_gradients(loss_at(1, model, x), by_hand, model, rtol=1e-9)


def test_equation_4_in_single_precision():
    model, x = tiny_gmvae(num_particles=5).float(), tiny_data().float()
    assert_same_value_and_gradients(loss_at(1, model, x), ByHand(model, x, 1, 5).equation4(), model, rtol=1e-5)


@pytest.mark.parametrize("num_data", [1, 3, 7])
def test_as_many_data_as_components_or_only_one(num_data):
    model, x = tiny_gmvae(3, num_particles=3), tiny_data(num_data)
    assert_same_value_and_gradients(loss_at(1, model, x), ByHand(model, x, 1, 3).equation4(), model)


@pytest.mark.parametrize("num_particles", [1, 5])
def test_each_term_by_name(num_particles):
    model, x = tiny_gmvae(num_particles=num_particles), tiny_data()
    torch.manual_seed(1)
    terms = model.terms(x)
    expected = ByHand(model, x, 1, num_particles).terms()
    names = {"x": "reconstruction", "z": "conditional_prior", "w": "w_prior", "c": "c_prior"}
    assert list(terms) == list(names.values())
    for site, name in names.items():
        torch.testing.assert_close(terms[name], expected[site].mean(0).detach())


def test_sampled_sites_of_the_objective():
    """Only the likelihood is averaged over draws; all divergences are in closed form."""
    model, x = tiny_gmvae(), tiny_data()
    objective = model.objective()
    objective.loss(model.model, model.guide, x)
    assert objective.sampled_sites == ()


@pytest.mark.parametrize("num_particles", [1, 5])
@pytest.mark.parametrize("side", ["below", "above"])
def test_equation_7(side, num_particles):
    """Particles are averaged inside the constraint; the c-prior's gradient is active above the floor, zero below."""
    x = tiny_data()
    model = tiny_gmvae(3, num_particles=num_particles)
    cost = ByHand(model, x, 1, num_particles).terms()["c"].mean().item()
    assert 0.01 < cost < math.log(3)
    model.c_prior_floor = cost + 0.01 if side == "below" else cost - 0.01
    loss = loss_at(1, model, x)
    by_hand = ByHand(model, x, 1, num_particles)
    assert_same_value_and_gradients(loss, by_hand.equation4(model.c_prior_floor), model)

    rest = by_hand.equation4() - len(x) * by_hand.terms()["c"].mean()
    found, without = gradients(loss, model), gradients(rest, model)
    from_c = sum((found[name] - without[name]).abs().sum() for name in found)
    assert from_c < 1e-10 if side == "below" else from_c > 1e-3


def test_particles_enter_the_floor_as_their_mean_not_one_by_one():
    """With the floor between the particles' own means, the two readings of equation 7 differ."""
    model, x = tiny_gmvae(3, num_particles=5), tiny_data(2)
    by_hand = ByHand(model, x, 1, 5)
    own_means = by_hand.terms()["c"].mean(1)
    floor = own_means.mean().item() - 1e-3
    one_by_one = own_means.clamp(min=floor).mean()
    assert one_by_one > own_means.mean() + 1e-3
    model.c_prior_floor = floor
    torch.testing.assert_close(loss_at(1, model, x), by_hand.equation4())


def test_floor_at_log_k_switches_the_c_prior_off():
    model, x = tiny_gmvae(3, c_prior_floor="log K"), tiny_data()
    by_hand = ByHand(model, x, 1)
    rest = by_hand.equation4() - by_hand.terms()["c"].sum()
    loss = loss_at(1, model, x)
    torch.testing.assert_close(loss, rest + len(x) * math.log(3))
    assert_same_value_and_gradients(loss - len(x) * math.log(3), rest, model)
    assert torch.equal(model.terms(x)["c_prior"], torch.full((len(x),), math.log(3), dtype=x.dtype))


def test_floor_for_each_datum():
    model, x = tiny_gmvae(3), tiny_data()
    costs = ByHand(model, x, 1).terms()["c"][0]
    floor = costs.median().item()
    objective = TraceDivergence_ELBO({"z": KL(), "c": FreeBits(KL(), floor=floor, per_datum=True)}, max_plate_nesting=1)
    torch.manual_seed(1)
    _, terms = objective.loss_and_terms(model.model, model.guide, x, per_datum=True)
    torch.testing.assert_close(terms["c"], costs.clamp(min=floor))


def test_input_noise_reaches_the_encoder_only_and_in_training_only():
    model, x = tiny_gmvae(input_noise=0.5), tiny_data()
    assert_same_value_and_gradients(loss_at(1, model.eval(), x), ByHand(model, x, 1).equation4(), model)
    model.train()
    torch.manual_seed(1)
    noise = torch.randn_like(x)
    torch.manual_seed(1)
    seen = []
    model.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    model.objective().loss(model.model, model.guide, x)
    torch.testing.assert_close(seen[0], x + 0.5 * noise)
