"""DiagonalNormal: the battery, and the numbers and gradients of the distribution that it stands for."""

from __future__ import annotations

import pyro.distributions as dist
import pytest
import torch
from torch.distributions import kl_divergence

from pyro_mixvae.distributions import DiagonalNormal, GaussianMixture
from pyro_mixvae.testing import DistributionChecks


class TestBattery(DistributionChecks):
    distribution = DiagonalNormal

    def parameters(self, batch_shape, dtype):
        loc = torch.randn(*batch_shape, 2, dtype=dtype)
        return {"loc": loc, "scale": 0.5 + torch.rand(*batch_shape, 2, dtype=dtype)}


def pair(*batch_shape, dtype=torch.float64):
    loc = torch.randn(*batch_shape, 3, dtype=dtype, requires_grad=True)
    scale = (0.5 + torch.rand(*batch_shape, 3, dtype=dtype)).requires_grad_()
    return DiagonalNormal(loc, scale), dist.Normal(loc, scale).to_event(1), (loc, scale)


def gradients(value, tensors):
    weights = torch.linspace(1, 2, value.numel(), dtype=value.dtype).reshape(value.shape)
    return torch.autograd.grad((weights * value).sum(), tensors)


@pytest.mark.parametrize("batch_shape", [(), (4,), (2, 4)])
@pytest.mark.parametrize("sample_shape", [(), (5,)])
def test_density_and_its_gradient_are_those_of_the_independent_normal(batch_shape, sample_shape):
    ours, torchs, parameters = pair(*batch_shape)
    value = torch.randn(*sample_shape, *batch_shape, 3, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(ours.log_prob(value), torchs.log_prob(value))
    torch.testing.assert_close(
        gradients(ours.log_prob(value), (*parameters, value)), gradients(torchs.log_prob(value), (*parameters, value))
    )


@pytest.mark.parametrize(("of_q", "of_p"), [((), ()), ((4,), ()), ((4,), (4,)), ((4,), (10, 4)), ((10, 1), (4,))])
def test_divergence_and_its_gradient_are_torchs(of_q, of_p):
    q, torchs_q, parameters_q = pair(*of_q)
    p, torchs_p, parameters_p = pair(*of_p)
    ours, torchs = kl_divergence(q, p), kl_divergence(torchs_q, torchs_p)
    torch.testing.assert_close(ours, torchs)
    every = (*parameters_q, *parameters_p)
    torch.testing.assert_close(gradients(ours, every), gradients(torchs, every))


def test_divergence_from_itself_is_zero():
    q, *_ = pair(4)
    torch.testing.assert_close(kl_divergence(q, q), torch.zeros(4, dtype=torch.float64))


def test_it_meets_the_independent_normal_and_what_is_registered_for_that():
    q, torchs, _ = pair(4)
    p, torchs_p, _ = pair(4)
    torch.testing.assert_close(kl_divergence(q, torchs_p), kl_divergence(torchs, torchs_p))
    torch.testing.assert_close(kl_divergence(torchs, p), kl_divergence(torchs, torchs_p))
    assert isinstance(GaussianMixture(torch.zeros(2), torch.zeros(2, 3), torch.ones(2, 3)).component(0), DiagonalNormal)


def test_it_expands_to_itself_where_nothing_grows():
    q, *_ = pair(4)
    assert q.expand([4]) is q
    larger = q.expand((2, 4))
    assert isinstance(larger, DiagonalNormal)
    assert larger.batch_shape == (2, 4)
    assert larger.rsample().shape == (2, 4, 3)


@pytest.mark.parametrize("bad", [torch.zeros(3), torch.tensor([1.0, float("nan"), 1.0])])
def test_bad_scales_are_refused(bad):
    with pytest.raises(ValueError, match="scale"):
        DiagonalNormal(torch.zeros(3), bad, validate_args=True)


@pytest.mark.parametrize("validate_args", [True, False])
@pytest.mark.parametrize(("dim", "shape"), [(3, (2,)), (1, (5,)), (3, (5, 1)), (3, ())])
def test_points_of_another_dimension_are_refused(dim, shape, validate_args):
    """Also those that would broadcast: codes [B] for one dimension are not one code of B."""
    q = DiagonalNormal(torch.zeros(dim), torch.ones(dim), validate_args=validate_args)
    with pytest.raises(ValueError, match=rf"value must have shape \[\*, {dim}\]"):
        q.log_prob(torch.zeros(shape))


def test_gaussians_of_different_dimensions_are_not_compared():
    q, p = (DiagonalNormal(torch.zeros(dim), torch.ones(dim)) for dim in (1, 3))
    with pytest.raises(ValueError, match="same event_shape"):
        kl_divergence(q, p)
