"""Mixtures of diagonal Gaussians: density, responsibilities, and samples that carry gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from pyro.distributions import Normal, TorchDistribution, constraints
from torch import Tensor
from torch.utils.checkpoint import checkpoint

__all__ = ["GaussianMixture"]

PLAIN_ELEMENTS = 2**15
CHUNK_ELEMENTS = 2**20
ROWS_FOR_PRODUCTS = 4


class GaussianMixture(TorchDistribution):
    r"""Mixture of ``K`` Gaussians with diagonal covariances on ``R^D``, reparameterised.

    .. math::
        p(z) = \sum_{k=1}^K \pi_k \prod_{d=1}^D N(z_d;\, m_{kd}, s_{kd}^2)

    The three arguments broadcast over their batch dimensions. Everything is computed in log space: nothing
    underflows far away from every component.

    :param logits: unnormalised log weights ``[*, K]``. The attribute ``logits`` is normalised: it is
        :math:`\log \pi`, as with :class:`torch.distributions.Categorical`.
    :param locs: means ``[*, K, D]``.
    :param scales: standard deviations ``[*, K, D]``, positive.
    :param validate_args: whether to check the arguments' values; the shapes are always checked.
    :raises ValueError: where the shapes do not fit together, ``K`` or ``D`` is zero, or a value is not allowed.

    ``rsample`` is the implicit reparameterisation (Figurnov, Mohamed, Mnih 2018) through the conditional
    distribution functions, coordinate by coordinate: with :math:`w_k(z_{<d}) \propto
    \pi_k \prod_{e<d} N_{ke}(z_e)`, :math:`F_d = \sum_k w_k(z_{<d}) \Phi_{kd}(z_d)` and density :math:`f_d`,

    .. math::
        z_d \leftarrow z_d - (F_d - \mathrm{sg} F_d) / \mathrm{sg} f_d .

    >>> mixture = GaussianMixture(torch.zeros(3), torch.tensor([[-9.0], [0.0], [9.0]]), torch.ones(3, 1))
    >>> mixture
    GaussianMixture(num_components: 3, batch_shape: (), event_shape: (1,))
    >>> mixture.log_prob(torch.zeros(1)).exp()
    tensor(0.1330)
    >>> mixture.responsibilities(torch.tensor([4.5]))
    tensor([0.0000, 0.5000, 0.5000])
    >>> mixture.mean, mixture.variance
    (tensor([0.]), tensor([55.]))
    """

    arg_constraints = {
        "logits": constraints.real_vector,
        "locs": constraints.independent(constraints.real, 2),
        "scales": constraints.independent(constraints.positive, 2),
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, logits: Tensor, locs: Tensor, scales: Tensor, validate_args: bool | None = None) -> None:
        _check_shapes(logits, locs, scales)
        batch_shape = torch.broadcast_shapes(logits.shape[:-1], locs.shape[:-2], scales.shape[:-2])
        self.logits = _collapse(logits, 1).log_softmax(-1)
        self.locs = _collapse(locs, 2)
        self.scales = _collapse(scales, 2)
        super().__init__(batch_shape, locs.shape[-1:], validate_args=validate_args)
        self._keep(self.logits, self.locs, self.scales)

    def _keep(self, logits: Tensor, locs: Tensor, scales: Tensor) -> None:
        """Hold the parameters as they are and as views expanded to the batch shape."""
        self._compact = (logits, locs, scales)
        self.logits = logits.expand(self.batch_shape + logits.shape[-1:])
        self.locs = locs.expand(self.batch_shape + locs.shape[-2:])
        self.scales = scales.expand(self.batch_shape + scales.shape[-2:])

    @property
    def num_components(self) -> int:
        """The number of components ``K``."""
        return self.logits.shape[-1]

    def __repr__(self) -> str:
        return (
            f"GaussianMixture(num_components: {self.num_components}, "
            f"batch_shape: {tuple(self.batch_shape)}, event_shape: {tuple(self.event_shape)})"
        )

    def log_prob(self, value: Tensor) -> Tensor:
        z = value.unsqueeze(-2)
        logits, locs, scales = self._compact
        t = (z - locs) / scales
        joint = logits - scales.log().sum(-1) - 0.5 * (t.square() + math.log(2 * math.pi)).sum(-1)
        shape = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        return joint.logsumexp(-1).expand(shape)


def _check_shapes(logits: Tensor, locs: Tensor, scales: Tensor) -> None:
    shapes = {"logits": logits.shape, "locs": locs.shape, "scales": scales.shape}
    if logits.dim() < 1 or logits.shape[-1] < 1:
        raise ValueError(f"logits must be [*, K] with K >= 1, got shape {tuple(logits.shape)}")
    expected = (logits.shape[-1], *locs.shape[-1:])
    for name in ("locs", "scales"):
        if len(shapes[name]) < 2 or shapes[name][-2:] != expected or expected[-1] < 1:
            raise ValueError(
                f"{name} must be [*, K, D] with K = {logits.shape[-1]} as in logits and one D >= 1 for locs and "
                f"scales, got shapes {({n: tuple(s) for n, s in shapes.items()})}"
            )


def _collapse(tensor: Tensor, event_dim: int) -> Tensor:
    """Reduce batch dimensions that only repeat (stride 0, as ``expand`` makes them) to size one."""
    for dim in range(tensor.dim() - event_dim):
        if tensor.stride(dim) == 0 and tensor.shape[dim] > 1:
            tensor = tensor.narrow(dim, 0, 1)
    return tensor
