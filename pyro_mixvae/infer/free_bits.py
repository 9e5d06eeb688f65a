"""The minimum-information constraint."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pyro_mixvae.infer.processes import number_of_processes, sum_over_processes
from pyro_mixvae.infer.site import Site
from pyro_mixvae.infer.site_divergence import SiteDivergence


class FreeBits(SiteDivergence):
    r"""The minimum-information constraint ("free bits") on a site's cost.

    .. math:: D' = \max(\lambda, C), \qquad C = \text{mean of } D \text{ over the batch and the particles}

    Below the floor the cost is constant and its gradient zero, so the site may hold :math:`\lambda` nats for free.
    :math:`C` is one number, expanded over the data, so that Pyro's sum divided by the data is :math:`\max(\lambda,
    C)`; data that are masked out do not enter it. A datum's cost is the sum over the plates inside ``"data"``. Under
    data-parallel training the batch is that of all processes together, gradients included.

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
        if not isinstance(floor, int | float) or not (math.isfinite(floor) and floor >= 0):
            raise ValueError(f"floor: expected a finite number of nats >= 0, got {floor!r}")
        self.divergence, self.floor, self.per_datum = divergence, floor, per_datum

    def __call__(self, site: Site) -> Tensor:
        cost = self.divergence(site)
        self._refuse_enumerated(site, cost)
        cost = cost.expand(site.plate_shape)
        inner = [dim for dim in site.plates if dim not in (site.data_dim, site.particle_dim)]
        over = (site.particle_dim,) if self.per_datum else (site.data_dim, site.particle_dim)
        averaged = [dim for dim in over if dim is not None]
        entries: Tensor | int = math.prod(site.plates[dim] for dim in inner)
        data: Tensor | int = math.prod(site.plates[dim] for dim in averaged)
        if isinstance(site.mask, Tensor):
            mask = site.mask.expand(site.plate_shape)
            cost = torch.where(mask, cost, cost.new_zeros(()))
            entries = _sum(mask.long(), inner)
            data = _sum((entries > 0).long(), averaged).clamp(min=1)
            entries = entries.clamp(min=1)
        total = _sum(_sum(cost, inner), averaged)
        if not self.per_datum and number_of_processes() > 1:
            total, data = sum_over_processes(total), sum_over_processes(torch.ones_like(total) * data)
        mean = total / data
        floor = mean.new_tensor(self.floor)
        return (torch.where(mean > floor, mean, floor) / entries).expand(site.plate_shape)

    def _refuse_enumerated(self, site: Site, cost: Tensor) -> None:
        depth = len(site.plate_shape)
        parallel = cost.shape[: max(0, cost.dim() - depth)].numel() > 1
        nodes = site.guide_trace.nodes
        one_by_one = [
            name
            for name in sorted(site.ahead_in_guide | site.ahead_in_model)
            if nodes[name]["infer"].get("enumerate") == "sequential"
        ]
        if parallel or one_by_one:
            reason = f"has shape {tuple(cost.shape)}, the plates allow {tuple(site.plate_shape)}"
            if one_by_one:
                reason = f"may depend on {', '.join(map(repr, one_by_one))}, enumerated one value at a time"
            raise ValueError(
                f"FreeBits at site '{site.name}': {self.divergence!r} depends on an enumerated variable ({reason}). "
                "Constrain the enumerated site itself instead."
            )

    def __repr__(self) -> str:
        return f"FreeBits({self.divergence!r}, floor={self.floor:g})"


def _sum(values: Tensor, dims: list[int]) -> Tensor:
    """The sum over some dimensions, which are kept; none where there are none."""
    return values.sum(dims, keepdim=True) if dims else values
