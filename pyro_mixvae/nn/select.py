"""One component of a mixture, whether its number was drawn or enumerated."""

from __future__ import annotations

from pyro.ops.indexing import Vindex
from torch import Tensor

from pyro_mixvae.distributions import DiagonalNormal, GaussianMixture


def select_component(mixture: GaussianMixture, c: Tensor) -> DiagonalNormal:
    """The component number c of a mixture with batch shape [\\*]: a diagonal Gaussian.

    Args:
        mixture: components [\\*, K, D].
        c: drawn, [\\*], or enumerated by Pyro, [K, 1, ..., 1] with more dimensions than the mixture's batch shape.

    Returns:
        a distribution with event shape [D] and batch shape [\\*], or [K, \\*] where c is enumerated.

    Example:
        >>> import torch
        >>> mixture = GaussianMixture(torch.zeros(3), torch.randn(5, 3, 2), torch.ones(5, 3, 2))
        >>> select_component(mixture, torch.arange(3).reshape(3, 1)).batch_shape
        torch.Size([3, 5])
    """
    return DiagonalNormal(_take(mixture.locs, c), _take(mixture.scales, c), validate_args=False)


def _take(parameter: Tensor, c: Tensor) -> Tensor:
    """parameter[..., c, :], [\\*, K, D] -> [\\*, D] or [K, \\*, D]."""
    batch_dim = parameter.dim() - 2
    # of a single datum, K draws look like all K components
    of_several_data = parameter.shape[:-2].numel() > 1
    if of_several_data and c.dim() > batch_dim and c.shape[0] == c.numel() == parameter.shape[-2]:
        # enumerated to the left of every plate: all components in their order, so a view does instead of a gather
        ones = (1,) * (c.dim() - 1 - batch_dim)
        front = parameter.movedim(-2, 0)
        return front.reshape(front.shape[:1] + ones + front.shape[1:])
    return Vindex(parameter)[..., c, :]
