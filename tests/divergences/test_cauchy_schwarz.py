"""Dispatch of ``cauchy_schwarz``, its errors, and the estimate for pairs without a closed form."""

from __future__ import annotations

import math

import pyro.distributions as dist
import pytest
import torch
from torch.distributions import Categorical, Exponential, Independent, Laplace, Normal, kl_divergence

from pyro_mixvae.distributions import GaussianMixture
from pyro_mixvae.divergences import cauchy_schwarz, register_cauchy_schwarz
from pyro_mixvae.divergences.cauchy_schwarz import _REGISTRY, _RESOLVED


@pytest.fixture(autouse=True)
def _unchanged_registry():
    """What a test registers is forgotten again."""
    before = dict(_REGISTRY)
    yield
    _REGISTRY.clear()
    _REGISTRY.update(before)
    _RESOLVED.clear()


class Base(Normal): ...


class Derived(Base): ...


def constant(value: float):
    return lambda q, p: torch.full(q.batch_shape, value)


def of(family: type[Normal], batch_shape: tuple[int, ...] = ()) -> Normal:
    return family(torch.zeros(batch_shape), torch.ones(batch_shape))


def test_most_specific_pair_wins_whatever_the_order_of_registration():
    register_cauchy_schwarz(Derived, Derived)(constant(3.0))
    register_cauchy_schwarz(Base, Base)(constant(1.0))
    register_cauchy_schwarz(Derived, Base)(constant(2.0))
    assert cauchy_schwarz(of(Base), of(Base)) == 1
    assert cauchy_schwarz(of(Derived), of(Base)) == 2
    assert cauchy_schwarz(of(Derived), of(Derived)) == 3
    assert cauchy_schwarz(of(Normal), of(Normal)) == 0


def test_registration_replaces_what_was_resolved_before():
    assert cauchy_schwarz(of(Base), of(Base)) == 0
    register_cauchy_schwarz(Base, Base)(constant(1.0))
    assert cauchy_schwarz(of(Base), of(Base)) == 1
    register_cauchy_schwarz(Base, Base)(constant(2.0))
    assert cauchy_schwarz(of(Base), of(Base)) == 2


def test_one_registration_serves_both_orders_with_arguments_swapped():
    seen = []

    @register_cauchy_schwarz(Base, Laplace)
    def divergence(q, p):
        seen.append((type(q), type(p)))
        return torch.zeros(())

    cauchy_schwarz(of(Base), Laplace(0.0, 1.0))
    cauchy_schwarz(Laplace(0.0, 1.0), of(Base))
    assert seen == [(Base, Laplace)] * 2
    register_cauchy_schwarz(Laplace, Base)(constant(7.0))
    assert cauchy_schwarz(Laplace(0.0, 1.0), of(Base)) == 7
    assert cauchy_schwarz(of(Base), Laplace(0.0, 1.0)) == 0


class DerivedLaplace(Laplace): ...


def test_ambiguous_pair_warns_and_names_the_pair_to_register():
    register_cauchy_schwarz(Derived, Laplace)(constant(1.0))
    register_cauchy_schwarz(Base, DerivedLaplace)(constant(2.0))
    q, p = of(Derived), DerivedLaplace(0.0, 1.0)
    with pytest.warns(RuntimeWarning, match=r"ambiguous: register it for \(Derived, DerivedLaplace\)"):
        assert cauchy_schwarz(q, p) == 1
    register_cauchy_schwarz(Derived, DerivedLaplace)(constant(3.0))
    assert cauchy_schwarz(q, p) == 3


def test_one_registration_in_both_orders_is_not_ambiguous():
    register_cauchy_schwarz(Base, Derived)(constant(2.0))
    assert cauchy_schwarz(of(Derived), of(Derived)) == 2


def test_only_distribution_types_are_registered():
    with pytest.raises(TypeError, match="type_p must be a subclass"):
        register_cauchy_schwarz(Normal, 3)
    with pytest.raises(TypeError, match="type_q must be a subclass"):
        register_cauchy_schwarz(int, Normal)


def test_error_names_both_types_and_what_to_do():
    message = r"for Normal and Laplace: pass num_samples= .* @register_cauchy_schwarz\(Normal, Laplace\)"
    with pytest.raises(NotImplementedError, match=message):
        cauchy_schwarz(of(Normal), Laplace(0.0, 1.0))
    mixture = GaussianMixture(torch.zeros(2), torch.zeros(2, 3), torch.ones(2, 3))
    laplace = dist.Laplace(0.0, 1.0).expand([3]).to_event(1)
    with pytest.raises(NotImplementedError, match=r"for Independent\(Laplace, 1\) and GaussianMixture: pass"):
        cauchy_schwarz(laplace, mixture)
    with pytest.raises(NotImplementedError, match=r"for GaussianMixture and Independent\(Laplace, 1\): pass"):
        cauchy_schwarz(mixture, laplace)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"same event_shape, got \(\) for Normal and \(3,\) for Independent"):
        cauchy_schwarz(of(Normal, (3,)), Independent(of(Normal, (3,)), 1))
    with pytest.raises(ValueError, match=r"batch shapes that broadcast, got \(2,\) and \(3,\)"):
        cauchy_schwarz(of(Normal, (2,)), of(Normal, (3,)))
    with pytest.raises(ValueError, match="num_samples must be positive, got 0"):
        cauchy_schwarz(of(Normal), of(Normal), num_samples=0)


def test_independent_of_any_registered_pair_is_the_sum():
    register_cauchy_schwarz(Exponential, Exponential)(constant(0.5))
    rate = torch.ones(4, 2, 3)
    q, p = Exponential(rate), Exponential(rate)
    for num_dims, expected in ((0, 0.5), (1, 1.5), (2, 3.0)):
        divergence = cauchy_schwarz(Independent(q, num_dims), Independent(p, num_dims))
        torch.testing.assert_close(divergence, torch.full(rate.shape[: 3 - num_dims], expected))


@pytest.mark.parametrize("nested", ["q", "p", "both", "neither"])
def test_independent_however_nested(nested):
    loc, scale = torch.randn(5, 2, 3), torch.rand(5, 2, 3) + 0.5
    flat = cauchy_schwarz(Normal(loc, scale), Normal(scale, scale)).sum((-1, -2))

    def event(base: Normal, name: str) -> Independent:
        return Independent(Independent(base, 1), 1) if nested in (name, "both") else Independent(base, 2)

    q, p = event(Normal(loc, scale), "q"), event(Normal(scale, scale), "p")
    torch.testing.assert_close(cauchy_schwarz(q, p), flat)


def test_independent_mixtures_are_summed():
    mixture = GaussianMixture(torch.zeros(4), torch.randn(3, 4, 2), torch.rand(3, 4, 2) + 0.5)
    normal = dist.Normal(torch.randn(3, 2), torch.ones(3, 2))
    expected = cauchy_schwarz(mixture, normal.to_event(1)).sum()
    torch.testing.assert_close(cauchy_schwarz(mixture.to_event(1), normal.to_event(2)), expected)


def test_pyro_and_torch_distributions_agree():
    loc, scale = torch.randn(3, 2), torch.rand(3, 2) + 0.5
    torch.testing.assert_close(
        cauchy_schwarz(dist.Normal(loc, scale).to_event(1), Independent(Normal(scale, loc.exp()), 1)),
        cauchy_schwarz(Independent(Normal(loc, scale), 1), dist.Normal(scale, loc.exp()).to_event(1)),
    )


# The estimate.


def test_estimate_agrees_with_the_closed_form_within_its_standard_error(float64):
    """100 independent estimates of 2,000 draws give the standard error of their mean; fail beyond 4.5."""
    q = dist.Normal(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0])).to_event(1)
    locs = torch.tensor([[-1.0, 0.0], [1.0, 2.0], [0.5, 0.5]])
    p = GaussianMixture(torch.tensor([0.0, 1.0, -1.0]), locs, torch.full((3, 2), 0.8))
    estimates = cauchy_schwarz(q.expand([100]), p, num_samples=2_000)
    standard_error = estimates.std() / math.sqrt(100)
    assert standard_error < 0.01
    assert (estimates.mean() - cauchy_schwarz(q, p)).abs() < 4.5 * standard_error


@pytest.mark.parametrize("family", ["reparameterised", "not"])
def test_gradient_of_the_estimate_is_consistent(family, float64):
    """Without pathwise gradients too: standard error from 100 independent estimates; fail beyond 4.5."""
    loc, log_scale = torch.tensor(0.7).expand(100).clone(), torch.tensor(0.2).expand(100).clone()
    loc.requires_grad_(), log_scale.requires_grad_()
    q, p = Normal(loc, log_scale.exp()), Normal(torch.tensor(-0.3), torch.tensor(0.8))
    exact = torch.autograd.grad(cauchy_schwarz(q, p).sum(), (loc, log_scale), retain_graph=True)
    if family == "not":
        q.has_rsample = p.has_rsample = False
    estimated = torch.autograd.grad(cauchy_schwarz(q, p, num_samples=2_000).sum(), (loc, log_scale))
    for estimate, value in zip(estimated, exact, strict=True):
        assert (estimate.mean() - value[0]).abs() < 4.5 * estimate.std() / math.sqrt(100)


def test_estimate_of_equal_arguments_is_zero_with_zero_gradient(float64):
    rate = torch.rand(5).requires_grad_()
    divergence = cauchy_schwarz(Exponential(rate), Exponential(rate.detach()), num_samples=10)
    torch.testing.assert_close(divergence, torch.zeros(5), atol=1e-14, rtol=0)
    (gradient,) = torch.autograd.grad(divergence.sum(), rate)
    torch.testing.assert_close(gradient, torch.zeros(5), atol=1e-13, rtol=0)


def test_estimate_is_never_negative():
    q, p = Normal(torch.randn(500), torch.rand(500) + 0.1), Laplace(torch.randn(500), torch.rand(500) + 0.1)
    assert (cauchy_schwarz(q, p, num_samples=3) >= 0).all()


def test_estimate_of_discrete_distributions_is_that_of_their_sums(float64):
    """On a finite support the definition's integrals are sums; the estimate is that of 20,000 draws."""
    q, p = Categorical(torch.tensor([0.5, 0.3, 0.2])), Categorical(torch.tensor([0.2, 0.2, 0.6]))
    exact = -torch.log((q.probs * p.probs).sum()) + 0.5 * torch.log(q.probs.square().sum() * p.probs.square().sum())
    estimates = cauchy_schwarz(q.expand([100]), p, num_samples=200)
    assert (estimates.mean() - exact).abs() < 4.5 * estimates.std() / 10 + 1e-3


def test_estimate_broadcasts_and_draws_afresh_for_each_entry():
    estimate = cauchy_schwarz(of(Normal, (4, 1)), Laplace(torch.zeros(3), torch.ones(3)), num_samples=20)
    assert estimate.shape == (4, 3)
    assert estimate.unique().numel() == 12


def test_kl_registry_is_left_alone():
    with pytest.raises(NotImplementedError):
        kl_divergence(Normal(0.0, 1.0), GaussianMixture(torch.zeros(1), torch.zeros(1, 1), torch.ones(1, 1)))
