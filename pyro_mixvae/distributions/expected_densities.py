r"""Expected log-densities of uncertain points under uncertain Gaussians, all pairs by two matrix products."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["expected_log_densities"]

LOG_2PI = math.log(2 * math.pi)


def expected_log_densities(statistics: Tensor, loc: Tensor, scale: Tensor | float = 0.0) -> Tensor:
    r"""The expected log-density of every point under every component, :math:`[*, K]`, in nats and double precision.

    .. math::
        E \log N(z; \mu_k, \operatorname{diag} \alpha_k^{-1}) = \tfrac12 \sum_d \big( E\log\alpha_{kd} - \log 2\pi
        - E\alpha_{kd}\, E z_d^2 + 2\, E[\alpha_{kd}\mu_{kd}]\, E z_d - E[\alpha_{kd}\mu_{kd}^2] \big)

    over z ~ N(loc, scale^2) and over the components' distribution. It is linear in the statistics, so that its
    gradient in them, weighted by responsibilities, is the sum of the points' sufficient statistics (equation 13).
    No array has the points', the components' and the coordinates' dimensions at once. The square is expanded, which
    costs digits: about as many as the points' distance from the origin has more than the components' scales, twice
    over; of the 16 of double precision enough remain down to scales of 1e-6.

    Args:
        statistics: :math:`E[\log\alpha, \alpha, \alpha\mu, \alpha\mu^2]`, [K, D, 4].
        loc: means of the points, [\*, D].
        scale: their standard deviations, [\*, D], or 0 for points that are known.

    Source: Paquet, Ghaisas, Tieleman, equation 6.

    >>> from pyro_mixvae.distributions import NormalGamma
    >>> q = NormalGamma(torch.zeros(3, 2), 1.0, 2.0, 1.0)
    >>> expected_log_densities(q.expected_statistics, torch.zeros(5, 2)).shape
    torch.Size([5, 3])
    """
    log_precision, precision, scaled_mean, scaled_square = statistics.double().unbind(-1)
    loc = loc.double()
    square = loc.square() + torch.as_tensor(scale, dtype=torch.float64, device=loc.device).square()
    constant = 0.5 * (log_precision - scaled_square - LOG_2PI).sum(-1)
    return constant + loc @ scaled_mean.T - 0.5 * (square @ precision.T)
