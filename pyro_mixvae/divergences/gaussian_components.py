"""What a Normal and every kind of mixture of Normals have in common: weights, locations and scales."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, Independent, MixtureSameFamily, Normal

from pyro_mixvae.distributions import GaussianMixture


class GaussianComponents(NamedTuple):
    """The parameters of a mixture of diagonal Gaussians, all three with the same batch shape.

    :param log_weights: normalised, ``[*batch_shape, K]``; finite also for a weight of zero.
    :param locs: ``[*batch_shape, K, D]``.
    :param scales: standard deviations, ``[*batch_shape, K, D]``.
    """

    log_weights: Tensor
    locs: Tensor
    scales: Tensor

    @property
    def batch_shape(self) -> Size:
        return self.log_weights.shape[:-1]

    @property
    def is_shared(self) -> bool:
        """Whether one mixture serves the whole batch."""
        return self.batch_shape.numel() == 1


def gaussian_components(distribution: Distribution) -> GaussianComponents | None:
    """Weights, locations and scales of a Gaussian or a mixture of Gaussians, both diagonal.

    Batch dimensions along which every parameter is merely expanded (stride 0) come back with size 1, so that
    what the data of a plate share is computed once.

    :param distribution: a ``Normal``, a :class:`~pyro_mixvae.distributions.GaussianMixture`, torch's
        ``MixtureSameFamily`` of Normals, or an ``Independent`` of Normals, whose event is flattened to D.
    :return: the components; None for any other distribution.

    >>> prior = GaussianMixture(torch.zeros(4), torch.randn(4, 2), torch.ones(4, 2)).expand((100,))
    >>> gaussian_components(prior).locs.shape
    torch.Size([1, 4, 2])
    """
    if isinstance(distribution, GaussianMixture):
        return _collapsed(distribution.logits, distribution.locs, distribution.scales)
    num_event_dims = len(distribution.event_shape)
    if isinstance(distribution, MixtureSameFamily):
        base = _base(distribution.component_distribution)
        if not isinstance(base, Normal):
            return None
        locs, scales = (_flattened(parameter, num_event_dims) for parameter in (base.loc, base.scale))
        return _collapsed(distribution.mixture_distribution.logits, locs, scales)
    base = _base(distribution)
    if not isinstance(base, Normal):
        return None
    locs, scales = (_flattened(parameter, num_event_dims).unsqueeze(-2) for parameter in (base.loc, base.scale))
    return _collapsed(locs.new_zeros(1), locs, scales)


def collapse_expanded(tensor: Tensor, num_event_dims: int) -> Tensor:
    """Reduce to size 1 each batch dimension along which a tensor repeats itself (stride 0).

    :param tensor: ``[*batch_shape, *event_shape]``.
    :param num_event_dims: how many rightmost dimensions are left alone.
    :return: a view whose batch shape broadcasts to the given one.

    >>> collapse_expanded(torch.randn(1, 3).expand(5, 3), 1).shape
    torch.Size([1, 3])
    """
    for dim in range(tensor.dim() - num_event_dims):
        if tensor.stride(dim) == 0:
            tensor = tensor.narrow(dim, 0, 1)
    return tensor


def _base(distribution: Distribution) -> Distribution:
    while isinstance(distribution, Independent):
        distribution = distribution.base_dist
    return distribution


def _flattened(parameter: Tensor, num_event_dims: int) -> Tensor:
    return parameter.flatten(-num_event_dims) if num_event_dims else parameter.unsqueeze(-1)


def _collapsed(logits: Tensor, locs: Tensor, scales: Tensor) -> GaussianComponents:
    log_weights = collapse_expanded(logits, 1).log_softmax(-1)
    log_weights = log_weights.clamp(min=torch.finfo(log_weights.dtype).min / 4)
    locs, scales = collapse_expanded(locs, 2), collapse_expanded(scales, 2)
    shape = torch.broadcast_shapes((*log_weights.shape, 1), locs.shape, scales.shape)
    shape = shape[:-2] + locs.shape[-2:]
    return GaussianComponents(log_weights.expand(shape[:-1]), locs.expand(shape), scales.expand(shape))
