"""Bounds of the KL divergence to a mixture: lower <= Monte Carlo <= upper, and where they are exact."""

from __future__ import annotations

import itertools
import math

import pyro.distributions as dist
import pytest
import torch
from torch import Tensor
from torch.distributions import Laplace, kl_divergence

from pyro_mixvae.distributions import GaussianMixture
from pyro_mixvae.divergences import mixture_kl_bounds


def mixtures(batch: int, num_components: int, num_dims: int, spread: float) -> GaussianMixture:
    shape = (batch, num_components, num_dims)
    locs, scales = spread * torch.randn(shape).double(), 0.3 + torch.rand(shape).double()
    return GaussianMixture(torch.randn(batch, num_components).double(), locs, scales)


def by_sampling(q, p, num_samples: int = 20_000) -> tuple[Tensor, Tensor]:
    z = q.sample(torch.Size([num_samples]))
    log_ratio = q.log_prob(z) - p.log_prob(z)
    return log_ratio.mean(0), log_ratio.std(0) / math.sqrt(num_samples)


@pytest.mark.parametrize("spread", [0.3, 1.0, 5.0])
@pytest.mark.parametrize(("num_q", "num_p", "num_dims"), [(1, 3, 2), (3, 1, 1), (3, 4, 1), (4, 5, 3)])
def test_lower_monte_carlo_upper(num_q, num_p, num_dims, spread):
    """20 random pairs each; the ordering holds beyond 4.5 standard errors of the Monte Carlo estimate."""
    q, p = mixtures(20, num_q, num_dims, spread), mixtures(20, num_p, num_dims, spread)
    bounds = mixture_kl_bounds(q, p)
    estimate, standard_error = by_sampling(q, p)
    assert (bounds.lower <= estimate + 4.5 * standard_error).all()
    assert (bounds.upper >= estimate - 4.5 * standard_error).all()
    assert (bounds.lower <= bounds.variational).all()


def test_bounds_meet_where_components_lie_far_apart():
    """Each component of q then sees one of p: lower and variational differ by KL - J of equal Gaussians."""
    locs = torch.tensor([[-1e3], [1e3]]).double()
    q = GaussianMixture(torch.tensor([0.0, 1.0]).double(), locs, torch.ones(2, 1).double())
    p = GaussianMixture(torch.tensor([1.0, 0.0]).double(), locs, torch.ones(2, 1).double())
    exact = (q.logits.exp() * (q.logits - p.logits)).sum()
    bounds = mixture_kl_bounds(q, p, num_iterations=100)
    torch.testing.assert_close(bounds.variational, exact)
    torch.testing.assert_close(bounds.upper, exact)
    torch.testing.assert_close(bounds.lower, exact - 0.5 * (1 - math.log(2)))


def test_two_gaussians_are_exact():
    shape = (6, 3)
    q, p = (dist.Normal(torch.randn(shape), torch.rand(shape) + 0.5).to_event(1) for _ in range(2))
    bounds = mixture_kl_bounds(q, p)
    torch.testing.assert_close(bounds.upper, kl_divergence(q, p))
    torch.testing.assert_close(bounds.variational, kl_divergence(q, p))
    assert (bounds.lower < kl_divergence(q, p)).all()


def test_for_one_gaussian_variational_is_the_upper_bound():
    q, p = mixtures(20, 1, 3, 1.0), mixtures(20, 4, 3, 1.0)
    bounds = mixture_kl_bounds(q, p)
    torch.testing.assert_close(bounds.upper, bounds.variational)
    torch.testing.assert_close(bounds.upper, mixture_kl_bounds(q, p, num_iterations=0).upper)


def test_iterations_only_improve():
    q, p = mixtures(20, 3, 2, 2.0), mixtures(20, 4, 2, 2.0)
    uppers = [mixture_kl_bounds(q, p, num_iterations=n).upper for n in range(6)]
    for worse, better in itertools.pairwise(uppers):
        assert (better <= worse + 1e-12).all()
    assert (uppers[-1] < uppers[0] - 1e-3).any()


def test_equal_mixtures():
    q = mixtures(10, 4, 2, 3.0)
    bounds = mixture_kl_bounds(q, q, num_iterations=200)
    torch.testing.assert_close(bounds.variational, torch.zeros(10).double())
    assert (bounds.lower <= 0).all()
    assert (bounds.upper >= -1e-12).all()


@pytest.mark.parametrize(("q_shape", "p_shape"), [((), ()), ((3,), ()), ((), (2, 3)), ((4, 1, 1), (2, 3))])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shapes_and_types(q_shape, p_shape, dtype):
    def mixture(batch_shape: tuple[int, ...], num_components: int) -> GaussianMixture:
        locs = torch.randn(*batch_shape, num_components, 2, dtype=dtype)
        return GaussianMixture(torch.zeros(num_components, dtype=dtype), locs, torch.ones_like(locs))

    bounds = mixture_kl_bounds(mixture(q_shape, 2), mixture(p_shape, 3))
    for bound in bounds:
        assert bound.shape == torch.broadcast_shapes(q_shape, p_shape)
        assert bound.dtype == dtype
        assert bound.isfinite().all()


def test_prior_in_a_plate_is_shared():
    q, p = dist.Normal(torch.randn(6, 2), torch.ones(6, 2)).to_event(1), mixtures(1, 5, 2, 1.0)
    p = GaussianMixture(p.logits[0].float(), p.locs[0].float(), p.scales[0].float())
    for one, other in zip(mixture_kl_bounds(q, p), mixture_kl_bounds(q, p.expand([6])), strict=True):
        torch.testing.assert_close(one, other)


def test_gradients():
    q, p = mixtures(2, 2, 2, 1.0), mixtures(2, 3, 2, 1.0)
    leaves = [t.clone().requires_grad_() for d in (q, p) for t in (d.logits, d.locs, d.scales)]

    def bounds(*tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(mixture_kl_bounds(GaussianMixture(*tensors[:3]), GaussianMixture(*tensors[3:])))

    assert torch.autograd.gradcheck(bounds, leaves)


def test_component_of_weight_zero_does_not_enter():
    logits = torch.tensor([0.0, -math.inf])
    q = GaussianMixture(logits, torch.tensor([[0.0], [3.0]]), torch.ones(2, 1), validate_args=False)
    p = dist.Normal(torch.ones(1), torch.ones(1)).to_event(1)
    bounds = mixture_kl_bounds(q, p)
    torch.testing.assert_close(bounds.variational, torch.tensor(0.5))
    torch.testing.assert_close(bounds.upper, torch.tensor(0.5))


def test_refused():
    normal = dist.Normal(torch.zeros(2), 1.0)
    with pytest.raises(NotImplementedError, match="p must be a diagonal Gaussian or a mixture of them, got Laplace"):
        mixture_kl_bounds(normal, Laplace(0.0, 1.0))
    with pytest.raises(ValueError, match=r"same event_shape, got \(\) and \(2,\)"):
        mixture_kl_bounds(normal, normal.to_event(1))
    with pytest.raises(ValueError, match="num_iterations must not be negative, got -1"):
        mixture_kl_bounds(normal, normal, num_iterations=-1)
