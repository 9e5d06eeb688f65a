"""What all likelihoods p(x | z) share: a decoder's output becomes a distribution of the data."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor, nn


class Likelihood(nn.Module, ABC):
    """A family of distributions over one datum, its parameters given by a decoder.

    Called with a decoder's output [\\*, num_params, \\*event_shape]; returns a distribution with batch shape [\\*] and
    event shape ``event_shape``.

    Attributes:
        num_params: how many numbers the decoder gives for each value of the datum.
        low, high: the range of values that have a density.
    """

    num_params: int = 1
    low: float = -math.inf
    high: float = math.inf

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.event_dim = len(self.event_shape)

    @property
    def raw_shape(self) -> tuple[int, ...]:
        """Shape of the decoder's output for one datum."""
        return (self.num_params, *self.event_shape)

    @abstractmethod
    def forward(self, raw: Tensor) -> dist.TorchDistribution:
        """The distribution for decoder outputs [\\*, num_params, \\*event_shape]."""

    def parameters_of(self, raw: Tensor) -> tuple[Tensor, ...]:
        """The ``num_params`` numbers for each value of the datum, each [\\*, \\*event_shape].

        Raises:
            ValueError: for a decoder's output of another shape, which might broadcast to a wrong likelihood.
        """
        if raw.shape[-len(self.raw_shape) :] != self.raw_shape:
            expected = ", ".join(map(str, self.raw_shape))
            raise ValueError(
                f"decoder: expected outputs [*, {expected}] for {type(self).__name__}, got {list(raw.shape)}"
            )
        return raw.unbind(-1 - self.event_dim)

    def check(self, x: Tensor, name: str = "x") -> None:
        """Refuse data that the likelihood has no density for.

        Args:
            x: data, [B, \\*event_shape].
            name: the argument's name in the message.

        Raises:
            ValueError: for another shape, an integer type, non-finite values or values outside the support.
        """
        if x.shape[1:] != self.event_shape or not x.dim():
            raise ValueError(
                f"{name}: expected shape [B, {', '.join(map(str, self.event_shape))}], got {list(x.shape)}"
            )
        if not x.is_floating_point():
            raise ValueError(f"{name}: expected floating-point values, got {x.dtype}; divide 8-bit images by 255")
        if not torch.isfinite(x).all():
            where = (~torch.isfinite(x)).flatten(1).any(1).nonzero().flatten()
            raise ValueError(f"{name}: expected finite values, got nan or inf in {len(where)} data, first {where[0]}")
        low, high = x.min().item() if x.numel() else 0.0, x.max().item() if x.numel() else 0.0
        if x.numel() and (low < self.low or high > self.high):
            raise ValueError(
                f"{name}: a {type(self).__name__} likelihood takes values in [{self.low:g}, {self.high:g}], got values "
                f"in [{low:g}, {high:g}]"
            )
