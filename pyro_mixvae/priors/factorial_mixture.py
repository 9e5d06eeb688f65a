"""A Gaussian mixture for each of several parts of a code, with a hyperprior."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pyro.distributions as dist
import torch
from pyro.ops.indexing import Vindex
from torch import Tensor, nn

from pyro_mixvae.distributions import DiagonalNormal, MixingWeights, NormalGamma


class FactorialMixturePrior(nn.Module):
    r"""p(xi) and p(z | xi), where z consists of I parts and each has a Gaussian mixture of its own.

    .. math::

        \pi_i \sim \mathrm{Dir}(c_0), \quad (\mu_{ikd}, \alpha_{ikd}) \sim \mathrm{NormalGamma}(m_0, s_0, a_0, b_0),
        \quad r_i \sim \mathrm{Cat}(\pi_i), \quad z_i \mid r_i = k \sim N(\mu_{ik}, \operatorname{diag}
        \alpha_{ik}^{-1})

    Args:
        num_components: :math:`K_i` of each factor.
        dim: D, the dimension of each :math:`z_i`.
        weight_concentration: :math:`c_0`.
        loc, mean_precision, concentration, rate: :math:`m_0, s_0, a_0, b_0`.

    Raises:
        ValueError: without a factor, for sizes below 1 or hyperparameters outside their range.

    Example:
        >>> prior = FactorialMixturePrior([2, 64], dim=3)
        >>> prior.weights(1).event_shape, prior.components(1).batch_shape
        (torch.Size([64]), torch.Size([64, 3]))

    Source: Paquet, Ghaisas, Tieleman, section 2.2.
    """

    like: Tensor

    def __init__(
        self,
        num_components: Sequence[int],
        dim: int,
        weight_concentration: float = 1.0,
        loc: float = 0.0,
        mean_precision: float = 1.0,
        concentration: float = 0.01,
        rate: float = 0.01,
    ) -> None:
        super().__init__()
        if not num_components or any(size < 1 for size in num_components):
            raise ValueError(f"num_components: expected sizes >= 1, one for each factor, got {list(num_components)}")
        if dim < 1:
            raise ValueError(f"dim: expected an integer >= 1, got {dim}")
        positive = {
            "weight_concentration": weight_concentration,
            "mean_precision": mean_precision,
            "concentration": concentration,
            "rate": rate,
        }
        for name, value in positive.items():
            if not 0 < value < math.inf:
                raise ValueError(f"{name}: expected a finite number > 0, got {value}")
        if not math.isfinite(loc):
            raise ValueError(f"loc: expected a finite number, got {loc}")
        self.num_components, self.dim = tuple(int(size) for size in num_components), dim
        self.weight_concentration = weight_concentration
        self.hyperparameters = (loc, mean_precision, concentration, rate)
        self.register_buffer("like", torch.empty(0), persistent=False)

    @property
    def num_factors(self) -> int:
        """I."""
        return len(self.num_components)

    def weights(self, factor: int) -> MixingWeights:
        """p(pi_i): event shape [K_i]."""
        concentration = self.like.new_full((self.num_components[factor],), self.weight_concentration)
        return MixingWeights(concentration, validate_args=False)

    def components(self, factor: int) -> NormalGamma:
        """p(mu_i, alpha_i): batch shape [K_i, D]."""
        shape = (self.num_components[factor], self.dim)
        loc, mean_precision, concentration, rate = (self.like.new_full(shape, value) for value in self.hyperparameters)
        return NormalGamma(loc, mean_precision, concentration, rate, validate_args=False)

    @staticmethod
    def latent(components: Tensor, r: Tensor) -> dist.TorchDistribution:
        """p(z_i | r_i, xi): event shape [D].

        Args:
            components: means and precisions, [\\*, K_i, D, 2].
            r: the component's number, drawn or enumerated by Pyro.
        """
        # no view in place of the gather: K draws of r for one datum have the shape of an enumerated r
        loc, precision = Vindex(components)[..., r, :, :].unbind(-1)
        return DiagonalNormal(loc, precision.rsqrt(), validate_args=False)

    def split(self, z: Tensor) -> tuple[Tensor, ...]:
        """The parts z_i, each [\\*, D], of a code [\\*, I D]."""
        return z.split(self.dim, dim=-1)

    def extra_repr(self) -> str:
        return f"num_components={list(self.num_components)}, dim={self.dim}"
