"""MixingWeights: the battery and the conjugate family's identities."""

from __future__ import annotations

import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import kl_divergence

from pyro_mixvae.distributions import MixingWeights
from pyro_mixvae.testing import DistributionChecks, assert_close_in_standard_errors

concentrations = st.lists(st.floats(0.01, 100.0), min_size=1, max_size=6).map(
    lambda values: torch.tensor(values, dtype=torch.float64)
)


class TestBattery(DistributionChecks):
    distribution = MixingWeights

    def parameters(self, batch_shape, dtype):
        return {"concentration": torch.empty(*batch_shape, 4, dtype=dtype).uniform_(1, 4)}


class TestBatteryForTwoComponents(DistributionChecks):
    """One unconstrained coordinate: the density is integrated on a grid."""

    distribution = MixingWeights

    def parameters(self, batch_shape, dtype):
        return {"concentration": torch.empty(*batch_shape, 2, dtype=dtype).uniform_(1, 4)}


@given(concentrations)
@settings(deadline=None, max_examples=30)
def test_natural_parameters_and_back(concentration):
    q = MixingWeights(concentration)
    again = MixingWeights.from_natural_parameters(q.natural_parameters)
    torch.testing.assert_close(again.concentration, concentration, rtol=1e-12, atol=1e-14)
    single = MixingWeights(concentration.float())
    again = MixingWeights.from_natural_parameters(single.natural_parameters, dtype=torch.float32)
    assert torch.equal(again.concentration, single.concentration)


@given(concentrations)
@settings(deadline=None, max_examples=20)
def test_expected_statistics_are_the_gradient_of_the_log_normalizer(concentration):
    natural = MixingWeights(concentration).natural_parameters.requires_grad_()
    q = MixingWeights.from_natural_parameters(natural)
    (gradient,) = torch.autograd.grad(q.log_normalizer, natural)
    torch.testing.assert_close(gradient, q.expected_statistics.detach())


def test_density_in_natural_parameters():
    q = MixingWeights(torch.rand(3, 4, dtype=torch.float64) + 0.5)
    value = q.sample((5,))
    inner = (q.natural_parameters * q.sufficient_statistics(value)).sum(-1)
    torch.testing.assert_close(q.log_prob(value), inner - q.log_normalizer)
    assert_close_in_standard_errors(q.sufficient_statistics(q.sample((20_000,))), q.expected_statistics)


def test_updated_adds_counts():
    prior = MixingWeights(torch.full((3,), 1e-3))
    posterior = prior.updated(torch.tensor([2.0, 0.0, 1.5]))
    assert isinstance(posterior, MixingWeights)
    torch.testing.assert_close(posterior.concentration, torch.tensor([2.001, 1e-3, 1.501]))
    assert posterior.concentration.dtype == torch.float32


def test_kl_and_conjugate_update_are_inherited():
    q, p = MixingWeights(torch.tensor([1.0, 2.0])), MixingWeights(torch.tensor([3.0, 0.5]))
    expected = kl_divergence(dist.Dirichlet(q.concentration), dist.Dirichlet(p.concentration))
    torch.testing.assert_close(kl_divergence(q, p), expected)
    product, _ = q.conjugate_update(p)
    torch.testing.assert_close(product.concentration, torch.tensor([3.0, 1.5]))


@pytest.mark.parametrize("concentration", [torch.ones(2, 0), torch.tensor(1.0)])
def test_no_component_is_refused(concentration):
    with pytest.raises(ValueError, match="K >= 1"):
        MixingWeights(concentration)


def test_counts_that_leave_nothing_are_refused():
    with pytest.raises(ValueError, match="concentration"):
        MixingWeights(torch.ones(2)).updated(torch.tensor([-1.0, 0.0]))
