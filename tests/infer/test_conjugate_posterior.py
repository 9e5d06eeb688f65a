"""What a conjugate posterior keeps, in which type, and by which gradient it moves."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.distributions import kl_divergence

from pyro_mixvae.distributions import MixingWeights, NormalGamma
from pyro_mixvae.infer import ConjugatePosterior, PointEstimate
from pyro_mixvae.infer.conjugate_posterior import statistics_as_leaves

PRIORS = {
    "normal-gamma": lambda: NormalGamma(torch.zeros(3, 2), 1.0, 0.01, 0.01),
    "weights": lambda: MixingWeights(torch.ones(4)),
}


@pytest.fixture(params=PRIORS)
def prior(request):
    return PRIORS[request.param]()


def data_of(prior) -> torch.Tensor:
    """Summed statistics of some data."""
    if isinstance(prior, MixingWeights):
        return torch.tensor([5.0, 0.0, 3.0, 2.0])
    return NormalGamma.likelihood_statistics(
        torch.randn(20, 3, 2, generator=torch.Generator().manual_seed(1)), 0.5
    ).sum(0)


def test_starts_at_the_prior_and_ends_at_the_posterior(prior):
    q = ConjugatePosterior(prior)
    assert q.kl() == 0
    q.step(data_of(prior), rho=1.0)
    expected = prior.updated(data_of(prior))
    for name in prior.arg_constraints:
        torch.testing.assert_close(getattr(q.distribution(torch.float32), name), getattr(expected, name))
    torch.testing.assert_close(q.kl(), kl_divergence(q.distribution(), q.prior).sum())


def test_shorter_steps_mix_natural_parameters(prior):
    q = ConjugatePosterior(prior)
    for _ in range(3):
        q.step(data_of(prior), rho=0.25)
    torch.testing.assert_close(q.natural, q.prior_natural + (1 - 0.75**3) * data_of(prior).double())
    assert q.num_steps == 3


def test_double_precision_survives_every_move(prior):
    q = ConjugatePosterior(prior)
    q.step(data_of(prior), rho=1 / 3)
    natural = q.natural.clone()
    for moved in (q.float(), q.half(), q.to(torch.bfloat16), q.double(), q.float(), copy.deepcopy(q)):
        assert moved.natural.dtype == moved.prior_natural.dtype == torch.float64
        assert torch.equal(moved.natural, natural)
    assert q().sample().dtype == torch.float32
    assert q.double()().sample().dtype == torch.float64


def test_digits_of_many_data_are_kept():
    """A million data far from 0 with a small scale: the rate is the difference of two numbers of 1e8."""
    q = ConjugatePosterior(NormalGamma(torch.zeros(1, 1), 1.0, 1.0, 1.0))
    q.set(1e6 * NormalGamma.likelihood_statistics(torch.full((1, 1), 10.0), 0.01))
    rate = 1 + 0.5 * 1e6 * 1e-4 + 0.5 * 1e6 / (1e6 + 1) * 100
    torch.testing.assert_close(q().base_dist.rate.item(), rate, rtol=1e-6, atol=0)


def test_by_gradient_and_back(prior):
    q = ConjugatePosterior(prior)
    q.step(data_of(prior), rho=0.5)
    before = q.distribution()
    q.follow_gradient()
    assert q.by_gradient
    assert all(parameter.dtype == torch.float32 for parameter in q.parameters())
    for name in prior.arg_constraints:
        torch.testing.assert_close(getattr(q.distribution(), name), getattr(before, name), rtol=1e-6, atol=1e-6)
    with pytest.raises(ValueError, match="follow_natural_gradient"):
        q.step(data_of(prior), 0.5)
    q.kl().backward()
    assert all(parameter.grad is not None for parameter in q.parameters())
    with torch.no_grad():
        for parameter in q.parameters():
            parameter += 0.1
    moved = q.distribution()
    q.follow_natural_gradient()
    assert not q.by_gradient
    assert not list(q.parameters())
    for name in prior.arg_constraints:
        torch.testing.assert_close(getattr(q.distribution(), name), getattr(moved, name))


def test_set_reaches_the_parameters_too(prior):
    q = ConjugatePosterior(prior, by_gradient=True)
    q.set(data_of(prior))
    expected = prior.updated(data_of(prior))
    for name in prior.arg_constraints:
        torch.testing.assert_close(getattr(q.distribution(torch.float32), name), getattr(expected, name))


def test_statistics_are_leaves_only_for_a_while(prior):
    q = ConjugatePosterior(prior)
    with pytest.raises(KeyError), statistics_as_leaves([q]) as (leaf,):
        assert q.expected_statistics() is leaf
        assert leaf.is_leaf
        assert leaf.requires_grad
        raise KeyError
    assert not q.expected_statistics().requires_grad


def test_bad_input_is_refused(prior):
    q = ConjugatePosterior(prior)
    with pytest.raises(ValueError, match="gradient: expected shape"):
        q.step(torch.zeros(1), 0.5)
    for kind in (ConjugatePosterior, PointEstimate):
        with pytest.raises(ValueError, match="prior: expected a NormalGamma or MixingWeights, got Gamma"):
            kind(torch.distributions.Gamma(1.0, 1.0))


def test_a_point_has_the_statistics_of_its_value(prior):
    point = PointEstimate(prior)
    if isinstance(prior, MixingWeights):
        point.set_weights(torch.tensor([0.1, 0.2, 0.3, 0.4]))
        torch.testing.assert_close(point.predictive().probs, torch.tensor([0.1, 0.2, 0.3, 0.4]))
    else:
        point.set_components(torch.ones(3, 2), torch.full((3, 2), 0.5))
        torch.testing.assert_close(point.predictive().scale, torch.full((3, 2), 0.5))
    expected = prior.sufficient_statistics(point.value().double())
    torch.testing.assert_close(point.expected_statistics(), expected)
    assert point.kl() == 0
    assert point.expected_statistics().requires_grad
