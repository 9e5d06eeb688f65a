"""The families of likelihoods p(x | z), by name."""

from __future__ import annotations

import difflib
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import pyro.distributions as dist
from torch import Tensor, nn

from pyro_mixvae.distributions import DiscretizedLogistic as DiscretizedLogisticDistribution
from pyro_mixvae.nn.heads import positive_scale, unconstrained_scale
from pyro_mixvae.nn.likelihood import Likelihood


class Bernoulli(Likelihood):
    """Binary values; any value in [0, 1] is taken as a grey level, with the cross-entropy as its log-density."""

    low, high = 0.0, 1.0

    def forward(self, raw: Tensor) -> dist.TorchDistribution:
        (logits,) = self.parameters_of(raw)
        return dist.Bernoulli(logits=logits, validate_args=False).to_event(self.event_dim)


class ContinuousBernoulli(Likelihood):
    """Values in [0, 1] with a density that integrates to one, unlike the cross-entropy of grey levels.

    The logits are held within 10, up to where torch's normaliser is right in single precision (to 1e-4 nats).

    Source: Loaiza-Ganem, Cunningham (2019).
    """

    low, high = 0.0, 1.0
    max_logit = 10.0

    def forward(self, raw: Tensor) -> dist.TorchDistribution:
        (logits,) = self.parameters_of(raw)
        logits = logits.clamp(-self.max_logit, self.max_logit)
        return dist.ContinuousBernoulli(logits=logits, validate_args=False).to_event(self.event_dim)


class LocationScale(Likelihood):
    """Values around a location that the decoder gives.

    Args:
        event_shape: shape of one datum.
        scale: a fixed number; ``"learned"``: one parameter for all values; None: one for each value, given by the
            decoder; a pair (low, high): likewise, by a sigmoid between the two.

    Raises:
        ValueError: for a scale that is not positive.
    """

    #: Where a learned scale starts.
    first_scale = 1.0

    def __init__(self, event_shape: Sequence[int], scale: float | str | Sequence[float] | None = None) -> None:
        super().__init__(event_shape)
        if isinstance(scale, list | tuple):
            if len(scale) != 2 or not 0 < scale[0] < scale[1] < math.inf:
                raise ValueError(f"scale: expected a pair 0 < low < high of finite numbers, got {list(scale)}")
        elif scale not in (None, "learned") and not (isinstance(scale, int | float) and 0 < scale < math.inf):
            raise ValueError(f'scale: expected a finite number > 0, "learned" or None, got {scale!r}')
        self.scale = scale
        self.num_params = 2 if scale is None or isinstance(scale, list | tuple) else 1
        self.raw_scale = nn.Parameter(unconstrained_scale(self.first_scale)) if scale == "learned" else None

    def forward(self, raw: Tensor) -> dist.TorchDistribution:
        loc, *raw_scale = self.parameters_of(raw)
        if raw_scale and isinstance(self.scale, list | tuple):
            low, high = self.scale
            scale = low + (high - low) * raw_scale[0].sigmoid()
        elif raw_scale:
            scale = positive_scale(raw_scale[0])
        elif self.raw_scale is not None:
            scale = positive_scale(self.raw_scale)
        else:
            scale = loc.new_tensor(self.scale)
        return self.noise(loc, scale).to_event(self.event_dim)

    @abstractmethod
    def noise(self, loc: Tensor, scale: Tensor) -> dist.TorchDistribution:
        """The distribution of each value."""


class Normal(LocationScale):
    """Real values with Gaussian noise; ``scale`` is its standard deviation."""

    def noise(self, loc: Tensor, scale: Tensor) -> dist.TorchDistribution:
        return dist.Normal(loc, scale)


class Laplace(LocationScale):
    """Real values with Laplacian noise: at a fixed scale b the log-density is -|x - loc| / b and a constant."""

    def noise(self, loc: Tensor, scale: Tensor) -> dist.TorchDistribution:
        return dist.Laplace(loc, scale)


class DiscretizedLogistic(LocationScale):
    """Pixels of finite depth: a logistic variable in ``num_bins`` bins, each value standing for the nearest centre.

    The decoder's outputs 0 and 1 are locations at the middle and the upper end of the range, and scales are in units
    of the range, so that the same decoder serves pixels in [0, 1] and in [-0.5, 0.5].

    Args:
        event_shape: shape of one datum.
        scale: as in :class:`LocationScale`, in units of the range.
        low, high: the centres of the first and the last bin; the Cauchy-Schwarz paper's are -0.5 and 0.5.
        num_bins: 256 for pixels of 8 bits.

    Raises:
        ValueError: for a scale that is not positive, an empty range, or fewer than two bins.

    Source: Kingma et al. (2016); see :class:`pyro_mixvae.distributions.DiscretizedLogistic`.
    """

    first_scale = 0.1

    def __init__(
        self,
        event_shape: Sequence[int],
        scale: float | str | None = "learned",
        low: float = 0.0,
        high: float = 1.0,
        num_bins: int = 256,
    ) -> None:
        super().__init__(event_shape, scale)
        if not -math.inf < low < high < math.inf:
            raise ValueError(f"low: expected finite numbers low < high, got low = {low} and high = {high}")
        if num_bins < 2:
            raise ValueError(f"num_bins: expected an integer >= 2, got {num_bins}")
        self.low, self.high, self.num_bins = low, high, num_bins

    def noise(self, loc: Tensor, scale: Tensor) -> dist.TorchDistribution:
        middle, width = 0.5 * (self.low + self.high), self.high - self.low
        return DiscretizedLogisticDistribution(
            middle + 0.5 * width * loc, width * scale, self.low, self.high, self.num_bins
        )


LIKELIHOODS: dict[str, type[Likelihood]] = {
    "bernoulli": Bernoulli,
    "continuous-bernoulli": ContinuousBernoulli,
    "normal": Normal,
    "laplace": Laplace,
    "discretized-logistic": DiscretizedLogistic,
}


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
