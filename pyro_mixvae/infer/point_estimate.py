"""A conjugate prior's variable as ordinary parameters: what is left of its posterior is one point."""

from __future__ import annotations

from typing import Any

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyro_mixvae.distributions import MixingWeights, NormalGamma
from pyro_mixvae.infer.conjugate_posterior import Conjugate


class PointEstimate(nn.Module):
    """Stands where a :class:`ConjugatePosterior` stands, and takes no prior into account: maximum likelihood.

    Args:
        prior: a :class:`NormalGamma`, whose variable is kept as means and logarithms of precisions, or a
            :class:`MixingWeights`, whose variable is kept as logits. Only its shape is used.

    Source: Jiang et al. (2017); Paquet, Ghaisas, Tieleman, section 2.2, last paragraph.
    """

    def __init__(self, prior: Conjugate) -> None:
        super().__init__()
        self.family: type[Any] = type(prior)
        if isinstance(prior, MixingWeights):
            self.logits = nn.Parameter(torch.zeros(prior.event_shape))
        elif isinstance(prior, NormalGamma):
            self.locs = nn.Parameter(torch.zeros(prior.batch_shape))
            self.log_precisions = nn.Parameter(torch.zeros(prior.batch_shape))
        else:
            raise ValueError(f"prior: expected a NormalGamma or MixingWeights, got {type(prior).__name__}")

    def value(self) -> Tensor:
        """The point: mean and precision, [\\*, 2], or weights, [K]."""
        if self.family is MixingWeights:
            return self.logits.softmax(-1)
        return torch.stack([self.locs, self.log_precisions.exp()], -1)

    def expected_statistics(self) -> Tensor:
        """The sufficient statistics at the point, [\\*, S], float64, with their gradient."""
        return self.family.sufficient_statistics(self.value().double())

    def kl(self) -> Tensor:
        """Nothing: there is no prior to compare with."""
        return torch.zeros((), dtype=torch.float64, device=next(self.parameters()).device)

    def forward(self) -> dist.TorchDistribution:
        """The point as one site's distribution, left out of every objective."""
        value = self.value()
        return dist.Delta(value, event_dim=value.dim()).mask(False)

    def predictive(self) -> dist.TorchDistribution:
        """The distribution of one datum at the point: a Gaussian, or a component's number."""
        if self.family is MixingWeights:
            return dist.Categorical(logits=self.logits)
        return dist.Normal(self.locs, (-0.5 * self.log_precisions).exp())

    def sample(self, name: str) -> Tensor:
        """The site; returns the expected statistics, as :meth:`ConjugatePosterior.sample` does."""
        statistics = self.expected_statistics()
        pyro.sample(name, self(), infer={"posterior": self, "expected_statistics": statistics})
        return statistics

    @torch.no_grad()
    def set_weights(self, weights: Tensor) -> None:
        """Start from weights > 0, [K]."""
        self.logits.copy_(weights.log())

    @torch.no_grad()
    def set_components(self, locs: Tensor, scales: Tensor) -> None:
        """Start from means and standard deviations, [K, D]."""
        self.locs.copy_(locs)
        self.log_precisions.copy_(-2 * scales.log())
