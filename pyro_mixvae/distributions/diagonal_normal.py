"""The Gaussian with diagonal covariance, as the models draw it at every step."""

from __future__ import annotations

import math
from typing import Any

import torch
from pyro.distributions import Independent, Normal
from torch import Tensor
from torch.distributions import register_kl

__all__ = ["DiagonalNormal"]

LOG_2PI = math.log(2 * math.pi)


class DiagonalNormal(Independent):
    r"""``Normal(loc, scale).to_event(1)``, with fewer operations: the same numbers, sooner.

    .. math::
        \log p(z) = -\frac12 \sum_d \Big[ \Big(\frac{z_d - m_d}{s_d}\Big)^2 + \log 2 \pi s_d^2 \Big]

    It *is* an :class:`~pyro.distributions.Independent` normal, so whatever knows those knows this one; nothing is built
    anew where a plate expands it to the batch shape that it has, and the divergence between two of them is one pass.

    :param loc: means ``[*, D]``.
    :param scale: standard deviations ``[*, D]``, positive.
    :param validate_args: whether to check the arguments' values.
    :raises ValueError: where a value is not allowed.

    >>> q = DiagonalNormal(torch.zeros(5, 2), torch.ones(5, 2))
    >>> q.batch_shape, q.event_shape
    (torch.Size([5]), torch.Size([2]))
    >>> q.log_prob(torch.zeros(2))[0]
    tensor(-1.8379)
    """

    base_dist: Normal

    def __init__(self, loc: Tensor, scale: Tensor, validate_args: bool | None = None) -> None:
        super().__init__(Normal(loc, scale, validate_args=validate_args), 1, validate_args=validate_args)

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> DiagonalNormal:
        """The same Gaussian for a larger batch; itself where that is its own.

        :param batch_shape: the new batch shape.
        :return: the expanded distribution.

        >>> DiagonalNormal(torch.zeros(2), torch.ones(2)).expand((4,)).batch_shape
        torch.Size([4])
        """
        batch_shape = torch.Size(batch_shape)
        if _instance is None and self.batch_shape == batch_shape:
            return self
        return super().expand(batch_shape, self._get_checked_instance(DiagonalNormal, _instance))

    def log_prob(self, value: Tensor) -> Tensor:
        r"""Log-density.

        :param value: points ``[*, D]``.
        :return: log-density ``[*]`` in nats.
        :raises ValueError: for points of another dimension; with validation, for those of another batch shape or that
            are not numbers.
        """
        loc, scale = self.base_dist.loc, self.base_dist.scale
        if value.shape[-1:] != loc.shape[-1:]:
            raise ValueError(f"value must have shape [*, {loc.shape[-1]}], got {tuple(value.shape)}")
        if self.base_dist._validate_args:
            self.base_dist._validate_sample(value)
        distance = ((value - loc) / scale).square().sum(-1)
        return -0.5 * (distance + loc.shape[-1] * LOG_2PI) - scale.log().sum(-1)


@register_kl(DiagonalNormal, DiagonalNormal)
def _kl_diagonal_normals(q: DiagonalNormal, p: DiagonalNormal) -> Tensor:
    r""":math:`\sum_d \frac12 (r_d^2 + \delta_d^2 - 1) - \log r_d`, with r the ratio of scales, delta the distance."""
    if q.event_shape != p.event_shape:
        raise ValueError(
            f"q and p must have the same event_shape, got {tuple(q.event_shape)} and {tuple(p.event_shape)}"
        )
    ratio = q.base_dist.scale / p.base_dist.scale
    distance = (q.base_dist.loc - p.base_dist.loc) / p.base_dist.scale
    squares = (ratio.square() + distance.square()).sum(-1)
    return 0.5 * (squares - q.event_shape[0]) - ratio.log().sum(-1)
