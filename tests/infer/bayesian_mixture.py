"""A Bayesian Gaussian mixture without any network: the smallest pair whose guide holds conjugate posteriors."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule, pyro_method
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
        """Make q the posterior after data with these responsibilities: a variational M-step."""
        each = NormalGamma.likelihood_statistics(x)
        self.components.set(torch.einsum("nk,nds->kds", responsibilities.double(), each))
        self.weights.set(responsibilities.sum(0))
