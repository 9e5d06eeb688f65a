"""The minimum-information constraint."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pyro_mixvae.infer.site import Site
from pyro_mixvae.infer.site_divergence import SiteDivergence


class FreeBits(SiteDivergence):
    r"""The minimum-information constraint ("free bits") on a site's cost.

    .. math:: D' = \max(\lambda, C), \qquad C = \text{mean of } D \text{ over the batch and the particles}

    Below the floor the cost is constant and its gradient zero, so the site may hold :math:`\lambda` nats for free.
    :math:`C` is one number, expanded over the data, so that Pyro's sum divided by the data is :math:`\max(\lambda,
    C)`; data that are masked out do not enter it.

    Args:
        divergence: the cost that is held up.
        floor: :math:`\lambda \ge 0`, in nats per datum.
        per_datum: hold up each datum's cost by itself instead of the batch's mean.

    Raises:
        ValueError: for a negative or non-finite floor; when called, for a divergence that depends on an enumerated
            variable, whose mean over the batch is not defined before the enumeration is summed out.

    Source: Kingma et al. (2016), section 4; GMVAE paper, equation 7.
    """

    def __init__(self, divergence: SiteDivergence, floor: float, per_datum: bool = False) -> None:
        if not isinstance(divergence, SiteDivergence):
            raise ValueError(f"divergence: expected a SiteDivergence such as KL(), got {divergence!r}")
        if not (math.isfinite(floor) and floor >= 0):
            raise ValueError(f"floor: expected a finite number of nats >= 0, got {floor}")
        self.divergence, self.floor, self.per_datum = divergence, floor, per_datum

    def __call__(self, site: Site) -> Tensor:
        cost = self.divergence(site)
        depth = len(site.plate_shape)
        if cost.dim() > depth and cost.shape[: cost.dim() - depth].numel() > 1:
            raise ValueError(
                f"FreeBits at site '{site.name}': {self.divergence!r} has shape {tuple(cost.shape)} and so depends on "
                f"an enumerated variable; the plates allow {tuple(site.plate_shape)}. "
                "Constrain the enumerated site itself instead."
            )
        cost = cost.expand(site.plate_shape)
        averaged = [site.particle_dim] if self.per_datum else [site.data_dim, site.particle_dim]
        summed = [dim for dim in site.plates if dim not in (site.data_dim, site.particle_dim)]
        others = math.prod(site.plates[dim] for dim in summed)
        total = cost.sum(summed, keepdim=True) if summed else cost
        mean = _mean(total, [dim for dim in averaged if dim is not None], site.mask)
        floor = mean.new_tensor(self.floor)
        return (torch.where(mean > floor, mean, floor) / others).expand(site.plate_shape)

    def __repr__(self) -> str:
        return f"FreeBits({self.divergence!r}, floor={self.floor:g})"


def _mean(cost: Tensor, dims: list[int], mask: Tensor | bool | None) -> Tensor:
    """Mean of ``cost`` over ``dims`` (kept), over the unmasked entries only."""
    if not dims:
        return cost
    if not isinstance(mask, Tensor):
        return cost.mean(dims, keepdim=True)
    mask = mask.expand_as(cost)
    count = mask.sum(dims, keepdim=True).clamp(min=1)
    return torch.where(mask, cost, cost.new_zeros(())).sum(dims, keepdim=True) / count
