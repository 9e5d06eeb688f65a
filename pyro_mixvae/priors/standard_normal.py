"""The standard Gaussian prior."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyro_mixvae.distributions import DiagonalNormal


class StandardNormal(nn.Module):
    """p(z) = N(0, I).

    Args:
        dim: dimension of z.

    Raises:
        ValueError: for a dimension below 1.

    Example:
        >>> StandardNormal(3)().event_shape
        torch.Size([3])
    """

    loc: Tensor
    scale: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        if dim < 1:
            raise ValueError(f"dim: expected an integer >= 1, got {dim}")
        self.dim = dim
        self.register_buffer("loc", torch.zeros(dim), persistent=False)
        self.register_buffer("scale", torch.ones(dim), persistent=False)

    def forward(self) -> dist.TorchDistribution:
        """The distribution: batch shape [], event shape [dim]."""
        return DiagonalNormal(self.loc, self.scale)
