"""The aggregate and individual terms against torch's KL divergences of the Gaussians that they compare."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import MixtureSameFamily, Normal, kl_divergence

from pyro_mixvae.divergences import aggregate_kl, individual_kl


@pytest.fixture
def batch():
    return torch.randn(20, 3).double(), 0.3 + torch.rand(20, 3).double()


def kl_of_moments(mean: Tensor, variance: Tensor) -> Tensor:
    return kl_divergence(Normal(mean, variance.sqrt()), Normal(torch.zeros_like(mean), 1.0)).sum(-1)


def test_exact_moments_are_those_of_the_aggregate_posterior(batch):
    loc, scale = batch
    aggregate = MixtureSameFamily(torch.distributions.Categorical(torch.ones(3, 20).double()), Normal(loc.T, scale.T))
    torch.testing.assert_close(aggregate_kl(loc, scale), kl_of_moments(aggregate.mean, aggregate.variance))


def test_means_and_sampled_moments(batch):
    loc, scale = batch
    value = loc + scale * torch.randn_like(loc)
    mean = loc.mean(0)
    torch.testing.assert_close(aggregate_kl(loc, scale, moments="means"), kl_of_moments(mean, loc.var(0, correction=0)))
    second = (value - mean).square().mean(0)
    torch.testing.assert_close(aggregate_kl(loc, scale, value, moments="sampled"), kl_of_moments(mean, second))


def test_exact_moment_is_the_expectation_of_the_sampled_one(batch):
    """v itself, from 4,000 draws; fail beyond 4.5 standard errors. KL_G is convex in v: sampled is larger."""
    loc, scale = batch
    values = loc + scale * torch.randn(4_000, 20, 3).double()
    sampled = (values - loc.mean(0)).square().mean(-2)
    exact = ((loc - loc.mean(0)).square() + scale.square()).mean(0)
    assert ((sampled.mean(0) - exact).abs() < 4.5 * sampled.std(0) / math.sqrt(4_000)).all()
    noisy = aggregate_kl(loc.expand(4_000, 20, 3), scale, values, moments="sampled")
    assert noisy.shape == (4_000,)
    assert noisy.mean() > aggregate_kl(loc, scale)


def test_individual_is_the_mean_kl_about_the_own_mean(batch):
    loc, scale = batch
    expected = kl_divergence(Normal(loc, scale), Normal(loc, 1.0)).sum(-1).mean()
    torch.testing.assert_close(individual_kl(loc, scale), expected)


def test_zero_for_a_batch_that_is_standard_normal_as_a_whole():
    loc = torch.tensor([[-0.8], [0.8]]).double()
    zero = torch.zeros(()).double()
    torch.testing.assert_close(aggregate_kl(loc, torch.full((2, 1), 0.6).double()), zero)
    torch.testing.assert_close(individual_kl(loc, torch.ones(2, 1).double()), zero)


def test_individual_keeps_its_digits_near_one():
    scale = torch.full((4, 1), 1.001)
    double = 0.5 * (scale.double() ** 2 - 1 - 2 * scale.double().log())
    torch.testing.assert_close(individual_kl(scale, scale).double(), double.mean(), rtol=1e-3, atol=0)


MOMENTS = ["exact", "sampled", "means"]


@settings(deadline=None, max_examples=30)
@given(
    batch_shape=st.sampled_from([(), (3,), (2, 3)]),
    n=st.integers(2, 5),
    num_dims=st.integers(1, 3),
    dim=st.sampled_from([-2, -3]),
    moments=st.sampled_from(MOMENTS),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    log_scale=st.floats(-5, 3),
)
def test_shapes(batch_shape, n, num_dims, dim, moments, dtype, log_scale):
    shape = (*batch_shape, n, num_dims) if dim == -2 else (*batch_shape, n, 4, num_dims)
    expected = batch_shape if dim == -2 else (*batch_shape, 4)
    loc, scale = torch.randn(shape, dtype=dtype), 10**log_scale * (1 + torch.rand(shape, dtype=dtype))
    value = loc + scale * torch.randn(shape, dtype=dtype)
    for divergence in (
        aggregate_kl(loc, scale, value, moments=moments, dim=dim),
        individual_kl(loc, scale, dim=dim),
    ):
        assert divergence.shape == expected
        assert divergence.dtype == dtype
        assert divergence.isfinite().all()
        assert (divergence >= -1e-5).all()


@pytest.mark.parametrize("moments", MOMENTS)
def test_masked_data_do_not_enter(batch, moments):
    loc, scale = (t.requires_grad_() for t in batch)
    value, mask = loc + scale, torch.arange(20) % 3 > 0
    masked = aggregate_kl(loc, scale, value, moments=moments, mask=mask)
    torch.testing.assert_close(masked, aggregate_kl(loc[mask], scale[mask], value[mask], moments=moments))
    (gradient,) = torch.autograd.grad(masked, loc)
    assert (gradient[~mask] == 0).all()
    torch.testing.assert_close(individual_kl(loc, scale, mask=mask), individual_kl(loc[mask], scale[mask]))


def test_masks_and_particles_of_their_own():
    loc, scale = torch.randn(4, 6, 2), torch.rand(4, 6, 2) + 0.5
    mask = torch.rand(4, 6) > 0.4
    expected = torch.stack([aggregate_kl(loc[i][mask[i]], scale[i][mask[i]]) for i in range(4)])
    torch.testing.assert_close(aggregate_kl(loc, scale, mask=mask), expected)


@pytest.mark.parametrize("moments", MOMENTS)
def test_gradients(batch, moments):
    loc, scale = (t[:5].clone().requires_grad_() for t in batch)
    value = torch.randn(5, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda *tensors: aggregate_kl(*tensors, moments=moments), (loc, scale, value))
    assert torch.autograd.gradcheck(individual_kl, (loc, scale))


class Processes:
    """Two threads that stand in for two processes: each waits for the other's sum and adds it."""

    def __init__(self) -> None:
        self.sums: list[Tensor | None] = [None, None]
        self.barrier = Barrier(2, timeout=10)

    def all_reduce(self, rank: int, total: Tensor) -> Tensor:
        self.sums[rank] = total
        self.barrier.wait()
        joint = self.sums[0] + self.sums[1]
        self.barrier.wait()
        return joint


@pytest.mark.parametrize("moments", MOMENTS)
def test_processes_share_the_moments_of_the_global_batch(batch, moments):
    """Unequal shares, far from the origin, a mask: each process gets the value of one on the whole batch."""
    loc, scale = batch
    loc, mask = loc + 1e3, torch.arange(20) % 3 > 0
    value = loc + scale
    processes, shares = Processes(), [slice(0, 8), slice(8, 20)]

    def run(rank: int) -> Tensor:
        part, reduce = shares[rank], partial(processes.all_reduce, rank)
        return aggregate_kl(loc[part], scale[part], value[part], moments, mask[part], reduce=reduce)

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, range(2)))
    expected = aggregate_kl(loc, scale, value, moments, mask)
    torch.testing.assert_close(results, [expected] * 2)


def test_refused(batch):
    loc, scale = batch
    with pytest.raises(ValueError, match="moments must be"):
        aggregate_kl(loc, scale, moments="none")
    with pytest.raises(ValueError, match="value must be given"):
        aggregate_kl(loc, scale, moments="sampled")
    for dim in (-1, 0, -3):
        with pytest.raises(ValueError, match="dim must be a data dimension, from -2 to -2"):
            aggregate_kl(loc, scale, dim=dim)
        with pytest.raises(ValueError, match="dim must be a data dimension"):
            individual_kl(loc, scale, dim=dim)


@pytest.mark.parametrize("moments", ["exact", "sampled", "means"])
def test_without_any_datum_it_is_zero_and_so_is_its_gradient(moments):
    loc, scale = torch.randn(4, 2, requires_grad=True), torch.ones(4, 2, requires_grad=True)
    nobody = torch.zeros(4, dtype=torch.bool)
    total = aggregate_kl(loc, scale, loc + scale, moments, nobody) + individual_kl(loc, scale, nobody)
    assert total == 0
    for gradient in torch.autograd.grad(total, (loc, scale)):
        assert (gradient == 0).all()


@pytest.mark.parametrize("shape", [(3,), (5, 1), (1, 3)])
def test_samples_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"value must have the shape of loc, \(5, 3\), got"):
        aggregate_kl(torch.zeros(5, 3), torch.ones(5, 3), torch.zeros(shape), "sampled")
