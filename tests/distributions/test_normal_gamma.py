"""NormalGamma: the battery, the conjugate family's identities, its uses in inference, and its extremes."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyro.infer import MCMC, NUTS, SVI, Trace_ELBO
from pyro.infer.autoguide import AutoNormal
from scipy import stats
from torch.distributions import biject_to, kl_divergence, transform_to

from pyro_mixvae.distributions import NormalGamma
from pyro_mixvae.testing import DistributionChecks, assert_close_in_standard_errors

positive = st.floats(0.05, 50.0)
real = st.floats(-20.0, 20.0)


def random_parameters(batch_shape, dtype, low, high):
    def uniform(low, high):
        return torch.empty(batch_shape, dtype=dtype).uniform_(low, high)

    return {
        "loc": uniform(-1, 1),
        "mean_precision": uniform(0.5, 2),
        "concentration": uniform(low, high),
        "rate": uniform(0.5, 2),
    }


def random_normal_gamma(batch_shape=(), low=1.0, high=6.0):
    return NormalGamma(**random_parameters(batch_shape, torch.float64, low, high))


class TestBattery(DistributionChecks):
    distribution = NormalGamma

    def parameters(self, batch_shape, dtype):
        return random_parameters(batch_shape, dtype, 4, 6)


class TestBatteryForSmallConcentrations(DistributionChecks):
    distribution = NormalGamma
    test_mean_and_variance = None  # the mean has none
    test_density_integrates_to_one_and_samples_follow_it = None  # no grid holds its tails; see the marginals below

    def parameters(self, batch_shape, dtype):
        return random_parameters(batch_shape, dtype, 0.3, 0.95)


def test_density_is_the_product_of_the_conditionals():
    q = random_normal_gamma((3,))
    mean, precision = (value := q.sample((5,))).unbind(-1)
    gamma = dist.Gamma(q.concentration, q.rate)
    normal = dist.Normal(q.loc, (q.mean_precision * precision).rsqrt())
    torch.testing.assert_close(q.log_prob(value), gamma.log_prob(precision) + normal.log_prob(mean))


@pytest.mark.parametrize("concentration", [0.05, 0.7, 1.0, 3.0])
def test_marginals_of_draws(concentration):
    """Kolmogorov-Smirnov tests of the Gamma and, for the mean, of Student's t; false alarm at 1e-5 each."""
    q = NormalGamma(torch.tensor(0.5, dtype=torch.float64), 2.0, concentration, 1.5)
    mean, precision = q.sample((20_000,)).unbind(-1)
    gamma = stats.gamma(concentration, scale=1 / 1.5)
    scale = math.sqrt(1.5 / (2.0 * concentration))
    assert stats.kstest(precision.numpy(), gamma.cdf).pvalue > 1e-5
    assert stats.kstest(mean.numpy(), stats.t(2 * concentration, 0.5, scale).cdf).pvalue > 1e-5


def test_moments_that_do_not_exist():
    q = NormalGamma(1.0, 2.0, torch.tensor([0.4, 0.5, 0.75, 1.0, 2.0]), 3.0)
    assert q.mean[:, 0].isnan().tolist() == [True, True, False, False, False]
    assert q.variance[:, 0].isnan().tolist() == [True, True, False, False, False]
    assert q.variance[:, 0].isinf().tolist() == [False, False, True, True, False]
    torch.testing.assert_close(q.variance[-1], torch.tensor([1.5, 2 / 9]))


# The exponential family.


@given(real, positive, positive, positive)
@settings(deadline=None, max_examples=40)
def test_natural_parameters_and_back(m, s, a, b):
    q = NormalGamma(*(torch.tensor(x, dtype=torch.float64) for x in (m, s, a, b)))
    again = NormalGamma.from_natural_parameters(q.natural_parameters)
    for name in q.arg_constraints:
        torch.testing.assert_close(getattr(again, name), getattr(q, name), rtol=1e-9, atol=1e-9)
    natural = again.natural_parameters
    torch.testing.assert_close(NormalGamma.from_natural_parameters(natural).natural_parameters, natural)


@given(real, positive, positive, positive)
@settings(deadline=None, max_examples=20)
def test_expected_statistics_are_the_gradient_of_the_log_normalizer(m, s, a, b):
    natural = NormalGamma(m, s, a, b).natural_parameters.requires_grad_()
    q = NormalGamma.from_natural_parameters(natural)
    (gradient,) = torch.autograd.grad(q.log_normalizer, natural)
    torch.testing.assert_close(gradient, q.expected_statistics.detach(), rtol=1e-7, atol=1e-9)


def test_density_in_natural_parameters():
    q = random_normal_gamma((3,))
    value = q.sample((4,))
    inner = (q.natural_parameters * q.sufficient_statistics(value)).sum(-1)
    torch.testing.assert_close(q.log_prob(value), inner - q.log_normalizer)
    entropy = q.log_normalizer - (q.natural_parameters * q.expected_statistics).sum(-1)
    torch.testing.assert_close(q.entropy(), entropy)


def test_expected_statistics_against_draws():
    q = random_normal_gamma((3,), 4, 6)
    assert_close_in_standard_errors(q.sufficient_statistics(q.sample((20_000,))), q.expected_statistics)


def test_single_precision_keeps_the_rate():
    """b = 1e-3 beside s m^2 / 2 = 5e7 would be lost in single precision."""
    q = NormalGamma(torch.tensor(100.0), torch.tensor(1e4), torch.tensor(2.0), torch.tensor(1e-3))
    again = NormalGamma.from_natural_parameters(q.natural_parameters, dtype=torch.float32)
    torch.testing.assert_close(again.rate, q.rate, rtol=1e-4, atol=0)
    assert again.rate.dtype == torch.float32


def test_updated_is_the_textbook_posterior():
    """Murphy 2007, *Conjugate Bayesian analysis of the Gaussian distribution*, equations 85 to 89."""
    prior = random_normal_gamma()
    data = torch.randn(7, dtype=torch.float64)
    posterior = prior.updated(NormalGamma.likelihood_statistics(data).sum(0))
    n, m, s = 7, prior.loc, prior.mean_precision
    torch.testing.assert_close(posterior.mean_precision, s + n)
    torch.testing.assert_close(posterior.loc, (s * m + data.sum()) / (s + n))
    torch.testing.assert_close(posterior.concentration, prior.concentration + n / 2)
    spread = (data - data.mean()).square().sum() + s * n / (s + n) * (data.mean() - m).square()
    torch.testing.assert_close(posterior.rate, prior.rate + spread / 2)


def test_updated_with_fractional_weights_is_repeated_updating():
    prior, datum = random_normal_gamma((3,)), torch.randn(3, dtype=torch.float64)
    statistics = NormalGamma.likelihood_statistics(datum)
    once = prior.updated(statistics)
    twice = prior.updated(0.25 * statistics).updated(0.75 * statistics)
    torch.testing.assert_close(twice.natural_parameters, once.natural_parameters)


def test_updated_satisfies_the_theorem_of_bayes():
    """log p(z | value) + log p(value) - log p(value | z) is log p(z), the same for every value."""
    prior, z = random_normal_gamma(), torch.tensor(0.7, dtype=torch.float64)
    posterior = prior.updated(NormalGamma.likelihood_statistics(z))
    value = prior.sample((50,))
    mean, precision = value.unbind(-1)
    likelihood = dist.Normal(mean, precision.rsqrt()).log_prob(z)
    evidence = likelihood + prior.log_prob(value) - posterior.log_prob(value)
    torch.testing.assert_close(evidence, prior.posterior_predictive().log_prob(z).expand(50))


# Closed forms against other routes.


def test_kl_against_draws():
    q, p = random_normal_gamma((3,), 2, 6), random_normal_gamma((3,), 2, 6)
    value = q.sample((40_000,))
    assert_close_in_standard_errors(q.log_prob(value) - p.log_prob(value), kl_divergence(q, p))


def test_kl_is_the_sum_of_the_conditional_kls():
    """KL of the Gammas plus the expected KL of the Normals, the latter over draws of the precision."""
    q, p = random_normal_gamma((3,), 2, 6), random_normal_gamma((3,), 2, 6)
    gammas = kl_divergence(dist.Gamma(q.concentration, q.rate), dist.Gamma(p.concentration, p.rate))
    precision = q.sample((40_000,))[..., 1]
    normal_q = dist.Normal(q.loc, (q.mean_precision * precision).rsqrt())
    normal_p = dist.Normal(p.loc, (p.mean_precision * precision).rsqrt())
    assert_close_in_standard_errors(kl_divergence(normal_q, normal_p), kl_divergence(q, p) - gammas)


def test_kl_is_the_bregman_divergence_of_the_log_normalizer():
    q, p = random_normal_gamma((5,)), random_normal_gamma((5,))
    inner = ((q.natural_parameters - p.natural_parameters) * q.expected_statistics).sum(-1)
    torch.testing.assert_close(kl_divergence(q, p), inner - q.log_normalizer + p.log_normalizer)


def test_kl_limits_and_events():
    q, p = random_normal_gamma((2, 3)), random_normal_gamma((2, 3))
    torch.testing.assert_close(kl_divergence(q, q), torch.zeros(2, 3, dtype=torch.float64))
    assert (kl_divergence(q, p) > 0).all()
    torch.testing.assert_close(kl_divergence(q.to_event(1), p.to_event(1)), kl_divergence(q, p).sum(-1))


@pytest.mark.parametrize("concentration", [0.5, 2.0, 8.0])
def test_posterior_predictive_against_simulated_draws(concentration):
    """Kolmogorov-Smirnov; false alarm at 1e-5."""
    q = NormalGamma(torch.tensor(-1.0, dtype=torch.float64), 0.5, concentration, 2.0)
    mean, precision = q.sample((20_000,)).unbind(-1)
    z = dist.Normal(mean, precision.rsqrt()).sample().numpy()
    predictive = q.posterior_predictive()
    cdf = stats.t(predictive.df.item(), predictive.loc.item(), predictive.scale.item()).cdf
    assert stats.kstest(z, cdf).pvalue > 1e-5


def test_expected_log_prob():
    q = random_normal_gamma((3,), 4, 6)
    loc, scale = torch.randn(3, dtype=torch.float64), torch.rand(3, dtype=torch.float64)
    mean, precision = q.sample((40_000,)).unbind(-1)
    z = dist.Normal(loc, scale).sample((40_000,))
    expected = q.expected_log_prob(loc, scale)
    assert_close_in_standard_errors(dist.Normal(mean, precision.rsqrt()).log_prob(z), expected)
    inner = (q.expected_statistics * NormalGamma.likelihood_statistics(loc, scale)).sum(-1)
    torch.testing.assert_close(expected, inner - 0.5 * math.log(2 * math.pi))


# Extremes.


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_of_tiny_concentrations_are_finite_and_so_are_their_gradients(dtype):
    parameters = [torch.full((2000,), x, dtype=dtype).requires_grad_() for x in (0.0, 1e-3, 0.01, 0.01)]
    q = NormalGamma(*parameters)
    value = q.rsample()
    assert value.isfinite().all()
    assert q.support.check(value).all()
    assert q.log_prob(value.detach()).isfinite().all()
    assert q.sufficient_statistics(value.detach()).isfinite().all()
    for gradient in torch.autograd.grad(value.sum(), parameters):
        assert gradient.isfinite().all()


@given(real, st.floats(1e-4, 1e4), st.floats(1e-3, 1e4), st.floats(1e-3, 1e4))
@settings(deadline=None, max_examples=30)
def test_single_precision_at_extremes(m, s, a, b):
    q = NormalGamma(m, s, a, b)
    value = q.sample((20,))
    assert q.log_prob(value).isfinite().all()
    kl = kl_divergence(q, NormalGamma(0, 1, 1, 1))
    for x in (q.entropy(), q.expected_statistics, q.log_normalizer, kl):
        assert x.isfinite().all()


def test_errors_name_what_is_wrong():
    with pytest.raises(ValueError, match="rate"):
        NormalGamma(0.0, 1.0, 1.0, -1.0)
    with pytest.raises(ValueError, match=r"natural must have shape \[\*, 4\], got \[3\]"):
        NormalGamma.from_natural_parameters(torch.zeros(3))
    with pytest.raises(ValueError, match="mean_precision"):
        NormalGamma.from_natural_parameters(torch.tensor([1.0, -1.0, 0.0, 0.5]))
    with pytest.raises(ValueError, match="support"):
        NormalGamma(0.0, 1.0, 1.0, 1.0).log_prob(torch.tensor([0.0, -1.0]))


# Inference.


@pytest.mark.parametrize("registry", [biject_to, transform_to])
@pytest.mark.parametrize("batch_shape", [(), (3,)])
def test_unconstrained_coordinates(registry, batch_shape):
    transform = registry(NormalGamma.support)
    u = torch.randn(*batch_shape, 2, dtype=torch.float64)
    value = transform(u)
    torch.testing.assert_close(value, torch.stack([u[..., 0], u[..., 1].exp()], -1))
    torch.testing.assert_close(transform.inv(value), u)
    torch.testing.assert_close(transform.log_abs_det_jacobian(u, value), u[..., 1])
    assert NormalGamma.support.event_dim == transform.domain.event_dim == transform.codomain.event_dim == 1


def test_stacked_constraints_would_not_do():
    """torch counts an event dimension in ``stack`` already, so that one more is one too many."""
    real, positive = dist.constraints.real, dist.constraints.positive
    stacked = dist.constraints.independent(dist.constraints.stack([real, positive], -1), 1)
    assert stacked.event_dim == 2
    with pytest.raises(ValueError, match="Too few dimensions"):
        biject_to(stacked)(torch.zeros(2))


def hierarchical_model(data):
    mean, precision = pyro.sample("xi", NormalGamma(0.0, 1.0, 3.0, 2.0)).unbind(-1)
    with pyro.plate("data", len(data)):
        pyro.sample("z", dist.Normal(mean, precision.rsqrt()), obs=data)


DATA = torch.tensor([0.3, 1.1, 0.8, 1.9, 1.2, 0.4])


def test_nuts_samples_the_posterior():
    """Against the conjugate posterior; the chain's effective size is taken as an eighth of its length."""
    mcmc = MCMC(NUTS(hierarchical_model, jit_compile=False), 300, warmup_steps=100, disable_progbar=True)
    mcmc.run(DATA)
    draws = mcmc.get_samples()["xi"]
    exact = NormalGamma(0.0, 1.0, 3.0, 2.0).updated(NormalGamma.likelihood_statistics(DATA).sum(0))
    error = (exact.variance / (300 / 8)).sqrt()
    assert draws.shape == (300, 2)
    assert ((draws.mean(0) - exact.mean).abs() < 4.5 * error).all()


def test_auto_normal_approximates_the_posterior(no_global_parameters):
    guide = AutoNormal(hierarchical_model)
    svi = SVI(hierarchical_model, guide, pyro.optim.Adam({"lr": 0.02}), Trace_ELBO(num_particles=4))
    for _ in range(400):
        svi.step(DATA)
    exact = NormalGamma(0.0, 1.0, 3.0, 2.0).updated(NormalGamma.likelihood_statistics(DATA).sum(0))
    median = guide.median()["xi"]
    assert median.shape == (2,)
    assert ((median - exact.mean).abs() < exact.variance.sqrt()).all()


@pytest.mark.parametrize("scale", [0.0, 0.3])
def test_weighted_statistics_are_sums_over_the_data(scale):
    loc, weights = torch.randn(7, 3), torch.rand(7, 2)
    each = NormalGamma.likelihood_statistics(loc, torch.full_like(loc, scale))
    expected = torch.einsum("nk,nds->kds", weights.double(), each)
    torch.testing.assert_close(NormalGamma.likelihood_statistics(loc, scale, weights), expected)


def test_a_scale_may_be_a_number_at_full_precision():
    q = NormalGamma(*(torch.tensor(value, dtype=torch.float64) for value in (0.1, 1.3, 2.0, 0.7)))
    loc, scale = torch.tensor(0.4, dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64)
    assert torch.equal(q.expected_log_prob(loc, 0.3), q.expected_log_prob(loc, scale))
    assert torch.equal(q.likelihood_statistics(loc, 0.3), q.likelihood_statistics(loc, scale))
