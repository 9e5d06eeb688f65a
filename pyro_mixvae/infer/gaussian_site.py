"""A site's Gaussian posteriors as plain tensors."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from torch import Tensor

from pyro_mixvae.infer.site import Site


def posterior_parameters(site: Site) -> tuple[Tensor, Tensor]:
    """Means and standard deviations of the guide's diagonal Gaussian: each [\\*, D], \\* its batch over the plates.

    Raises:
        ValueError: if the guide's distribution at the site is not ``Normal(...).to_event(...)``.
    """
    base = site.q
    while isinstance(base, dist.Independent):
        base = base.base_dist
    if not isinstance(base, dist.Normal) or site.q.event_dim < 1:
        raise ValueError(f"site '{site.name}': expected a Normal(...).to_event(1) in the guide, got {site.q}")
    batch_shape = torch.broadcast_shapes(site.q.batch_shape, site.plate_shape)
    full_shape = batch_shape + site.q.event_shape
    return base.loc.expand(full_shape).reshape(*batch_shape, -1), base.scale.expand(full_shape).reshape(
        *batch_shape, -1
    )


def data_dim(site: Site, divergence: object) -> int:
    """The site's data dimension.

    Raises:
        ValueError: if the site lies in no plate, so that there is no batch to take a whole-batch quantity of.
    """
    if site.data_dim is None:
        raise ValueError(f"site '{site.name}': {divergence!r} needs a plate of data around the site; name it \"data\"")
    return site.data_dim


def mask_of(site: Site) -> Tensor | None:
    """The site's mask over its plates, or None where all data take part."""
    return site.mask.expand(site.plate_shape) if isinstance(site.mask, Tensor) else None
