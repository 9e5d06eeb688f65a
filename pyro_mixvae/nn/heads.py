"""From a network's output to a Gaussian."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from pyro_mixvae.distributions import DiagonalNormal

#: Scales are softplus(raw) + MIN_SCALE: positive in float32 whatever the network says.
MIN_SCALE = 1e-4


def positive_scale(raw: Tensor) -> Tensor:
    """A scale > 0 from an unconstrained output, elementwise: ``softplus(raw) + 1e-4``."""
    return softplus(raw) + MIN_SCALE


def unconstrained_scale(scale: float | Tensor) -> Tensor:
    """The inverse of :func:`positive_scale`: where a parameter starts that is to give this scale, > 1e-4.

    >>> positive_scale(unconstrained_scale(0.5))
    tensor(0.5000)
    """
    above = torch.as_tensor(scale, dtype=torch.get_default_dtype()) - MIN_SCALE
    return above + torch.log(-torch.expm1(-above))


def diagonal_normal(raw: Tensor) -> DiagonalNormal:
    """A diagonal Gaussian from [\\*, 2 D] outputs, the first half its mean, the second its unconstrained scale.

    Returns:
        a distribution with batch shape [\\*] and event shape [D].
    """
    loc, raw_scale = raw.chunk(2, dim=-1)
    return DiagonalNormal(loc, positive_scale(raw_scale))
