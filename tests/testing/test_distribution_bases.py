"""The battery passes what is right and catches what is wrong, each fault by the check that is meant to."""

from __future__ import annotations

import pyro.distributions as dist
import pytest
import torch
from torch.autograd.gradcheck import GradcheckError

from pyro_mixvae.testing import DistributionChecks, assert_close_in_standard_errors


class Checks(DistributionChecks):
    def parameters(self, batch_shape, dtype):
        loc = torch.randn(batch_shape, dtype=dtype)
        return {"loc": loc, "scale": torch.empty(batch_shape, dtype=dtype).uniform_(0.5, 1.5)}


class TestNormal(Checks):
    distribution = dist.Normal


class TestLogNormal(Checks):
    """A half-line support."""

    distribution = dist.LogNormal

    def parameters(self, batch_shape, dtype):
        scale = torch.empty(batch_shape, dtype=dtype).uniform_(0.1, 0.3)
        return {"loc": torch.randn(batch_shape, dtype=dtype), "scale": scale}


class TestMultivariateNormal(DistributionChecks):
    """Three unconstrained coordinates: the density is integrated by importance sampling."""

    distribution = dist.MultivariateNormal

    def parameters(self, batch_shape, dtype):
        factor = torch.randn(*batch_shape, 3, 3, dtype=dtype).tril(-1)
        loc = torch.randn(*batch_shape, 3, dtype=dtype)
        return {"loc": loc, "scale_tril": factor + torch.eye(3, dtype=dtype)}


class TestBernoulli(DistributionChecks):
    """A finite support."""

    distribution = dist.Bernoulli

    def parameters(self, batch_shape, dtype):
        return {"logits": torch.randn(batch_shape, dtype=dtype)}


class DoubledLogProb(dist.Normal):
    def log_prob(self, value):
        return 2 * super().log_prob(value)


class Unnormalised(dist.Normal):
    def log_prob(self, value):
        return super().log_prob(value) + 0.01


class UnnormalisedVector(dist.MultivariateNormal):
    def log_prob(self, value):
        return super().log_prob(value) + 0.1


class WideSamples(dist.Normal):
    def rsample(self, sample_shape=torch.Size()):
        return self.loc + 1.1 * (super().rsample(sample_shape) - self.loc)


class DetachedLoc(dist.Normal):
    def rsample(self, sample_shape=torch.Size()):
        return super().rsample(sample_shape) - self.loc + self.loc.detach()


class DetachedScaleInLogProb(dist.Normal):
    def log_prob(self, value):
        return dist.Normal(self.loc, self.scale.detach()).log_prob(value)


class WrongEntropy(dist.Normal):
    def entropy(self):
        return super().entropy() + 0.1


class WrongVariance(dist.Normal):
    @property
    def variance(self):
        return 1.1 * super().variance


class WrongMean(dist.Normal):
    @property
    def mean(self):
        return self.loc + 0.1


class ForgetfulExpand(dist.Normal):
    def expand(self, batch_shape, _instance=None):
        return dist.Normal(torch.zeros(batch_shape), torch.ones(batch_shape))


class SummedLogProb(dist.Normal):
    def log_prob(self, value):
        return super().log_prob(value).sum(-1) if self.batch_shape else super().log_prob(value)


class BatchMean(dist.Normal):
    def log_prob(self, value):
        return dist.Normal(self.loc.mean(), self.scale).log_prob(value)


class LenientParameters(dist.Normal):
    def __init__(self, loc, scale, validate_args=None):
        super().__init__(loc, scale, validate_args=False)


class Nameless(dist.Normal):
    def __repr__(self):
        return "a normal"


class WrongFrequencies(dist.Bernoulli):
    def sample(self, sample_shape=torch.Size()):
        return 1 - super().sample(sample_shape)


INTEGRATION = "test_density_integrates_to_one_and_samples_follow_it"


@pytest.mark.parametrize(
    ("wrong", "base", "check", "arguments"),
    [
        (DoubledLogProb, Checks, INTEGRATION, ()),
        (DoubledLogProb, Checks, "test_entropy", ()),
        (Unnormalised, Checks, INTEGRATION, ()),
        (UnnormalisedVector, TestMultivariateNormal, INTEGRATION, ()),
        (WideSamples, Checks, INTEGRATION, ()),
        (WrongFrequencies, TestBernoulli, INTEGRATION, ()),
        (DetachedLoc, Checks, "test_gradients_of_samples", ()),
        (DetachedScaleInLogProb, Checks, "test_gradients_of_the_density", ()),
        (WrongEntropy, Checks, "test_entropy", ()),
        (WrongMean, Checks, "test_mean_and_variance", ()),
        (WrongVariance, Checks, "test_mean_and_variance", ()),
        (ForgetfulExpand, Checks, "test_expand", ()),
        (SummedLogProb, Checks, "test_shapes_and_types", ((2, 3), torch.float64)),
        (BatchMean, Checks, "test_each_entry_of_a_batch_is_a_distribution_of_its_own", ()),
        (SummedLogProb, Checks, "test_site_within_plates", ()),
        (LenientParameters, Checks, "test_invalid_parameters_are_refused", ()),
        (Nameless, Checks, "test_repr_names_the_class", ()),
    ],
)
def test_faults_are_caught(wrong, base, check, arguments):
    checks = type("Wrong", (base,), {"distribution": wrong})()
    with pytest.raises((AssertionError, GradcheckError, pytest.fail.Exception)):
        getattr(checks, check)(*arguments)


def test_standard_errors_of_the_reference_count():
    draws = torch.randn(10_000)
    assert_close_in_standard_errors(draws + 0.5, 0.0, other_error=0.2)
    with pytest.raises(AssertionError, match="expected"):
        assert_close_in_standard_errors(draws + 0.5, 0.0)
