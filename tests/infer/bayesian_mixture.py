"""A Bayesian Gaussian mixture without any network: the smallest pair whose guide holds conjugate posteriors."""

from __future__ import annotations

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule, pyro_method
from sklearn.mixture import BayesianGaussianMixture
from torch import Tensor

from pyro_mixvae.distributions import MixingWeights, NormalGamma
from pyro_mixvae.distributions.expected_densities import expected_log_densities
from pyro_mixvae.infer import (
    ConjugateKL,
    ConjugatePosterior,
    ExpectedCategoricalKL,
    ExpectedNormalKL,
    TraceConjugate_ELBO,
)


class BayesianMixture(PyroModule):
    """pi ~ Dir(c0), (mu_kd, alpha_kd) ~ NormalGamma, r_n ~ Cat(pi), x_n ~ N(mu_r, 1 / alpha_r)."""

    def __init__(self, num_components: int, dim: int, num_data: int, m0=0.0, s0=1.0, a0=1.0, b0=1.0, c0=1.0) -> None:
        super().__init__(name=f"BayesianMixture_{id(self)}")
        self.num_data = num_data
        shape = torch.ones(num_components, dim)
        self.prior_weights = MixingWeights(torch.full((num_components,), c0))
        self.prior_components = NormalGamma(m0 * shape, s0 * shape, a0 * shape, b0 * shape)
        self.weights = ConjugatePosterior(self.prior_weights)
        self.components = ConjugatePosterior(self.prior_components)

    @pyro_method
    def model(self, x: Tensor) -> None:
        pi = pyro.sample("pi", self.prior_weights)
        mean, precision = pyro.sample("components", self.prior_components.to_event(2)).unbind(-1)
        with pyro.plate("data", self.num_data, subsample=torch.arange(len(x))):
            r = pyro.sample("r", dist.Categorical(pi), infer={"enumerate": "parallel"})
            pyro.sample("x", dist.Normal(mean[r], precision[r].rsqrt()).to_event(1), obs=x)

    @pyro_method
    def guide(self, x: Tensor) -> None:
        log_weights = self.weights.sample("pi")
        statistics = self.components.sample("components")
        logits = (expected_log_densities(statistics, x) + log_weights).detach()
        with pyro.plate("data", self.num_data, subsample=torch.arange(len(x))):
            pyro.sample("r", dist.Categorical(logits=logits), infer={"enumerate": "parallel"})

    def objective(self) -> TraceConjugate_ELBO:
        return TraceConjugate_ELBO(
            {
                "x": ExpectedNormalKL("components", "r"),
                "r": ExpectedCategoricalKL("pi"),
                "components": ConjugateKL(),
                "pi": ConjugateKL(),
            },
            max_plate_nesting=1,
        )

    def responsibilities(self, x: Tensor) -> Tensor:
        logits = expected_log_densities(self.components.expected_statistics(), x)
        return (logits + self.weights.expected_statistics()).softmax(-1)

    def start(self, x: Tensor, responsibilities: Tensor) -> None:
        start_posterior(self.weights, self.components, x, responsibilities)


def start_posterior(
    weights: ConjugatePosterior, components: ConjugatePosterior, x: Tensor, responsibilities: Tensor
) -> None:
    """Make q the posterior after data with these responsibilities: a variational M-step."""
    each = NormalGamma.likelihood_statistics(x)
    components.set(torch.einsum("nk,nds->kds", responsibilities.double(), each))
    weights.set(responsibilities.sum(0))


def three_clusters(num_data: int, dim: int) -> Tensor:
    """Points around -4, 0 and 4 (on all axes), spread by 0.3 to 1.3."""
    cluster = torch.arange(num_data) % 3
    centres, scales = torch.linspace(-4, 4, 3)[cluster], torch.rand(3, dim)[cluster] + 0.3
    return centres.unsqueeze(-1) + scales * torch.randn(num_data, dim)


def some_responsibilities(num_data: int, num_components: int) -> Tensor:
    weights = torch.rand(num_data, num_components).pow(8)
    return weights / weights.sum(-1, keepdim=True)


class ScikitLearns:
    """scikit-learn's variational Bayes for a mixture of three Gaussians in one dimension, from a given start."""

    #: The hyperprior in its letters: c0, s0, degrees of freedom 2 a0, covariance 2 b0, m0.
    WEIGHT, MEAN_PRECISION, DEGREES_OF_FREEDOM, COVARIANCE, MEAN = 0.7, 0.5, 3.0, 1.3, 0.2

    def __init__(self, x: Tensor, num_steps: int) -> None:
        self.x = x.numpy()
        self.mixture = BayesianGaussianMixture(
            n_components=3,
            covariance_type="diag",
            reg_covar=0,
            max_iter=num_steps,
            tol=0,
            init_params="random",
            random_state=0,
            weight_concentration_prior_type="dirichlet_distribution",
            weight_concentration_prior=self.WEIGHT,
            mean_precision_prior=self.MEAN_PRECISION,
            mean_prior=[self.MEAN],
            degrees_of_freedom_prior=self.DEGREES_OF_FREEDOM,
            covariance_prior=[self.COVARIANCE],
        )
        start = np.random.RandomState(1).dirichlet(np.ones(3), size=len(x))
        self.start = torch.from_numpy(start)
        self.mixture._initialize_parameters = lambda x, random_state, **_: self.mixture._initialize(x, start)
        with pytest.warns(Warning, match="did not converge"):
            self.mixture.fit(self.x)

    def assert_is(self, weights: ConjugatePosterior, components: ConjugatePosterior, gamma: Tensor) -> None:
        """q(xi) and the responsibilities are the same to 1e-5."""
        q, close = components.distribution(), {"rtol": 0, "atol": 1e-5}
        found = self.mixture
        degrees_of_freedom = torch.from_numpy(found.degrees_of_freedom_).unsqueeze(-1)
        torch.testing.assert_close(q.loc, torch.from_numpy(found.means_), **close)
        torch.testing.assert_close(q.mean_precision[:, 0], torch.from_numpy(found.mean_precision_), **close)
        torch.testing.assert_close(2 * q.concentration, degrees_of_freedom, **close)
        torch.testing.assert_close(q.rate, torch.from_numpy(found.covariances_) * degrees_of_freedom / 2, **close)
        concentration = torch.from_numpy(found.weight_concentration_)
        torch.testing.assert_close(weights.distribution().concentration, concentration, **close)
        torch.testing.assert_close(gamma, torch.from_numpy(found.predict_proba(self.x)), **close)
