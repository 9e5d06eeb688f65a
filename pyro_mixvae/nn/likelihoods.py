"""Likelihoods p(x | z): how a decoder's output becomes a distribution of the data."""

from __future__ import annotations

import difflib
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyro_mixvae.nn.heads import positive_scale


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


class Bernoulli(Likelihood):
    """Binary values; any value in [0, 1] is taken as a grey level, with the cross-entropy as its log-density."""

    low, high = 0.0, 1.0

    def forward(self, raw: Tensor) -> dist.TorchDistribution:
        logits = raw.squeeze(-1 - self.event_dim)
        return dist.Bernoulli(logits=logits, validate_args=False).to_event(self.event_dim)


class Normal(Likelihood):
    """Real values with Gaussian noise.

    Args:
        event_shape: shape of one datum.
        scale: the noise's standard deviation; None: one for each value, given by the decoder.

    Raises:
        ValueError: for a scale that is not positive.
    """

    def __init__(self, event_shape: Sequence[int], scale: float | None = None) -> None:
        super().__init__(event_shape)
        if scale is not None and not 0 < scale < math.inf:
            raise ValueError(f"scale: expected a finite number > 0, got {scale}")
        self.scale = scale
        self.num_params = 2 if scale is None else 1

    def forward(self, raw: Tensor) -> dist.TorchDistribution:
        loc, *raw_scale = raw.unbind(-1 - self.event_dim)
        scale = positive_scale(raw_scale[0]) if self.scale is None else loc.new_tensor(self.scale)
        return dist.Normal(loc, scale).to_event(self.event_dim)


LIKELIHOODS: dict[str, type[Likelihood]] = {"bernoulli": Bernoulli, "normal": Normal}


def build_likelihood(spec: str | Mapping[str, Any], event_shape: Sequence[int]) -> Likelihood:
    """The likelihood by name, or by a mapping with its options: ``{"name": "normal", "scale": 0.1}``.

    Raises:
        ValueError: for an unknown name or option; the message holds the nearest right name.
    """
    options = dict(spec) if isinstance(spec, Mapping) else {"name": spec}
    name = str(options.pop("name", None))
    if name not in LIKELIHOODS:
        near = difflib.get_close_matches(name, LIKELIHOODS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"likelihood: expected one of {', '.join(LIKELIHOODS)}, got {name!r}{hint}")
    try:
        return LIKELIHOODS[name](event_shape, **options)
    except TypeError as error:
        raise ValueError(f"likelihood: {error}") from error
    except ValueError as error:
        raise ValueError(f"likelihood.{error}") from error
