"""The logistic distribution in bins: a likelihood for pixels of finite depth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor
from torch.distributions.utils import broadcast_all
from torch.nn.functional import logsigmoid

__all__ = ["DiscretizedLogistic"]


class DiscretizedLogistic(TorchDistribution):
    r"""A logistic variable, rounded to the nearest of ``num_bins`` even centres from ``low`` to ``high``.

    .. math::
        P(x_j) = \sigma\Big(\frac{x_j + h - \mu}{s}\Big) - \sigma\Big(\frac{x_j - h - \mu}{s}\Big), \quad
        x_j = \text{low} + 2 h j, \quad h = \frac{\text{high} - \text{low}}{2 (\text{num\_bins} - 1)},

    and the outer bins reach to infinity, so that the probabilities sum to one.

    :param loc: :math:`\mu`, a number or tensor.
    :param scale: s > 0, a number or tensor; ``loc`` and ``scale`` broadcast to the batch shape.
    :param low: the centre of the first bin.
    :param high: the centre of the last bin.
    :param num_bins: the number of bins, at least 2.
    :param validate_args: whether to check the arguments' values.
    :raises ValueError: unless ``low < high`` and ``num_bins >= 2``, or where a parameter is not allowed.

    Source: Kingma et al. 2016, *Improved Variational Inference with Inverse Autoregressive Flow*, the
    likelihood for CIFAR-10.

    >>> pixel = DiscretizedLogistic(loc=0.1, scale=0.02, low=-0.5, high=0.5, num_bins=256)
    >>> pixel
    DiscretizedLogistic(loc: 0.1, scale: 0.02, low: -0.5, high: 0.5, num_bins: 256)
    >>> pixel.log_prob(torch.tensor([-0.5, 0.1, 0.5]))
    tensor([-29.9020,  -3.0163, -19.9020])
    >>> pixel.log_prob(pixel.enumerate_support()).logsumexp(0).abs() < 1e-5
    tensor(True)
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    has_enumerate_support = True

    def __init__(
        self,
        loc: Tensor | float,
        scale: Tensor | float,
        low: float = -0.5,
        high: float = 0.5,
        num_bins: int = 256,
        validate_args: bool | None = None,
    ) -> None:
        if not low < high:
            raise ValueError(f"low must be below high, got low = {low} and high = {high}")
        if num_bins < 2:
            raise ValueError(f"num_bins must be at least 2, got {num_bins}")
        self.loc, self.scale = broadcast_all(loc, scale)
        self.low, self.high, self.num_bins = low, high, num_bins
        super().__init__(self.loc.shape, validate_args=validate_args)

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> DiscretizedLogistic:
        """The same distribution for a larger batch.

        :param batch_shape: the new batch shape.
        :return: the expanded distribution; its parameters are views.

        >>> DiscretizedLogistic(0.0, 0.1).expand((3,)).batch_shape
        torch.Size([3])
        """
        new = self._get_checked_instance(DiscretizedLogistic, _instance)
        batch_shape = torch.Size(batch_shape)
        new.loc, new.scale = self.loc.expand(batch_shape), self.scale.expand(batch_shape)
        new.low, new.high, new.num_bins = self.low, self.high, self.num_bins
        super(DiscretizedLogistic, new).__init__(batch_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> constraints.Constraint:
        """Values from ``low`` to ``high``; one between two centres stands for the nearer."""
        return _Bins(self.low, self.high)

    @property
    def width(self) -> float:
        """The distance of neighbouring centres, twice the half-width ``h``."""
        return (self.high - self.low) / (self.num_bins - 1)

    def log_prob(self, value: Tensor) -> Tensor:
        r"""Log-probability of the bin that holds ``value``.

        With edges :math:`u = (x - h - \mu)/s` and :math:`v = (x + h - \mu)/s` it is
        :math:`\log\sigma(v) + \log\sigma(-u) + \log(1 - e^{u - v})`, in which nothing cancels however far the
        bin lies in a tail.

        :param value: values in [low, high], of any shape that broadcasts with the batch shape.
        :return: log-probability in nats, of the broadcast shape.
        """
        if self._validate_args:
            self._validate_sample(value)
        index = self._nearest(value)
        offset = self.low + self.width * index - self.loc
        below = logsigmoid((offset + 0.5 * self.width) / self.scale)
        above = logsigmoid((0.5 * self.width - offset) / self.scale)
        inside = torch.log(-torch.expm1(-self.width / self.scale))
        first, last = index == 0, index == self.num_bins - 1
        below = below.masked_fill(last, 0.0)
        above = above.masked_fill(first, 0.0)
        return below + above + inside.masked_fill(first | last, 0.0)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        """Draws of bin centres.

        :param sample_shape: the shape of independent draws.
        :return: draws ``[*sample_shape, *]``.
        """
        with torch.no_grad():
            uniform = torch.rand(self.shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
            index = self._nearest(self.loc + self.scale * uniform.logit())
            return self._centre(index)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """The centres of all bins.

        :param expand: whether to expand them over the batch shape.
        :return: ``[num_bins, *]``, or ``[num_bins, 1, ..., 1]``.

        >>> DiscretizedLogistic(0.0, 1.0, low=-1.0, high=1.0, num_bins=3).enumerate_support()
        tensor([-1.,  0.,  1.])
        """
        index = torch.arange(self.num_bins, dtype=self.loc.dtype, device=self.loc.device)
        centres = self._centre(index).reshape(-1, *[1] * len(self.batch_shape))
        return centres.expand(-1, *self.batch_shape) if expand else centres

    @property
    def mean(self) -> Tensor:
        r"""The mean :math:`\sum_j x_j P(x_j) = \text{low} + 2 h \sum_{j \ge 1} P(x \ge x_j)`, ``[*]``."""
        edges = self.enumerate_support(expand=False).flatten()[1:] - 0.5 * self.width
        steps = torch.zeros_like(self.loc)
        for edge in edges:
            steps = steps + torch.sigmoid((self.loc - edge) / self.scale)
        return self.low + self.width * steps

    @property
    def variance(self) -> Tensor:
        r"""The variance :math:`\sum_j (x_j - \bar x)^2 P(x_j)`, ``[*]``."""
        mean = self.mean
        return self._expectation(lambda centre, _: (centre - mean).square())

    def entropy(self) -> Tensor:
        r"""The entropy :math:`-\sum_j P(x_j) \log P(x_j)`.

        :return: ``[*]``, in nats.
        """
        return self._expectation(lambda _, log_prob: -log_prob)

    def _expectation(self, function: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Sum over bins, one at a time: a batch of images times 256 bins need never be in memory."""
        total = torch.zeros_like(self.loc)
        for centre in self.enumerate_support(expand=False).flatten():
            log_prob = self.log_prob(centre)
            total = total + log_prob.exp() * function(centre, log_prob)
        return total

    def _centre(self, index: Tensor) -> Tensor:
        """The centre of a bin; rounding takes none of them out of the support."""
        return (self.low + self.width * index).clamp(self.low, self.high)

    def _nearest(self, value: Tensor) -> Tensor:
        """The index of the bin that holds ``value``, as a floating-point number."""
        return ((value - self.low) / self.width).round().clamp(0, self.num_bins - 1)

    def __repr__(self) -> str:
        loc, scale = (f"{p.item():g}" if p.dim() == 0 else p.shape for p in (self.loc, self.scale))
        bins = f"low: {self.low}, high: {self.high}, num_bins: {self.num_bins}"
        return f"DiscretizedLogistic(loc: {loc}, scale: {scale}, {bins})"


class _Bins(constraints.interval):
    is_discrete = True
