r"""The joint log-densities :math:`\log \pi_k + \log N(z; m_k, s_k^2)` of many Gaussians in bounded memory.

Three ways to the same numbers, chosen by sizes alone, so that a captured graph holds no branch on data:

- few elements: the plain broadcast over ``[*, K, D]``;
- components shared by many values: matrix products, about a common centre and in double precision, where
  expanding the square costs no digit that single precision had;
- otherwise the broadcast in chunks of components, each recomputed in the backward pass, so that the
  backward pass is as lean as the forward pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus
from torch.utils.checkpoint import checkpoint

from pyro_mixvae.distributions.shapes import broadcast_shape

__all__ = ["component_log_probs", "log_responsibilities", "mixture_log_prob"]

PLAIN_ELEMENTS = 2**17
CHUNK_ELEMENTS = 2**19
ROWS_FOR_PRODUCTS = 4
LOG_2PI = math.log(2 * math.pi)


def mixture_log_prob(value: Tensor, logits: Tensor, locs: Tensor, scales: Tensor) -> Tensor:
    r"""Log-density of a mixture, :math:`\log \sum_k \exp(l_k) \prod_d N(z_d; m_{kd}, s_{kd}^2)`.

    :param value: the points ``z``, ``[*, D]``.
    :param logits: normalised log weights ``[*, K]``.
    :param locs: means ``[*, K, D]``; a batch dimension of size one is shared, and cheap.
    :param scales: standard deviations ``[*, K, D]``.
    :return: the log-density ``[*]`` in nats.

    >>> mixture_log_prob(torch.zeros(2), torch.zeros(1), torch.zeros(1, 2), torch.ones(1, 2))
    tensor(-1.8379)
    """
    chunks = _by_chunks(_log_total, value, logits, locs, scales)
    return chunks[0] if len(chunks) == 1 else torch.stack(chunks).logsumexp(0)


def component_log_probs(value: Tensor, logits: Tensor, locs: Tensor, scales: Tensor) -> Tensor:
    r"""Joint log-densities of points and components, :math:`l_k + \sum_d \log N(z_d; m_{kd}, s_{kd}^2)`.

    :param value: the points ``z``, ``[*, D]``.
    :param logits: normalised log weights ``[*, K]``.
    :param locs: means ``[*, K, D]``; a batch dimension of size one is shared, and cheap.
    :param scales: standard deviations ``[*, K, D]``.
    :return: the joint log-densities ``[*, K]`` in nats.

    >>> component_log_probs(torch.zeros(1), torch.zeros(1), torch.zeros(1, 1), torch.ones(1, 1))
    tensor([-0.9189])
    """
    return torch.cat(_by_chunks(_unchanged, value, logits, locs, scales), -1)


def log_responsibilities(joint: Tensor) -> Tensor:
    r"""``joint.log_softmax(-1)``, with the digits that it loses where one component has nearly all.

    The greatest of the logarithms is

    .. math::
        \log r_k = -\log \Big( 1 + \exp \big( \log \sum_{j \neq k} e^{l_j} - l_k \big) \Big).

    So points of which a component is all but sure can be told apart, as the most-confident rule must
    (:func:`~pyro_mixvae.metrics.cluster_labels`): in single precision responsibilities are 1, and ``log_softmax`` is
    0, from odds of some :math:`e^{17}` on, these logarithms from odds of some :math:`e^{87}` on.

    :param joint: log-densities of points and components, normalised over the components or not, ``[*, K]``.
    :return: logarithms ``[*, K]`` in nats, none above 0.

    >>> joint = torch.tensor([[0.0, -30.0], [0.0, -40.0]])
    >>> joint.log_softmax(-1)[:, 0]
    tensor([0., 0.])
    >>> log_responsibilities(joint)[:, 0]
    tensor([-9.3576e-14, -4.2484e-18])
    """
    first = joint.argmax(-1, keepdim=True)
    others = _log_total(joint.scatter(-1, first, -torch.inf)).unsqueeze(-1)
    return joint.log_softmax(-1).scatter(-1, first, -softplus(others - joint.gather(-1, first)))


def _log_total(joint: Tensor) -> Tensor:
    """The log of the sum; a chunk of weightless components gives a number, lest its gradient be NaN."""
    return joint.clamp(min=torch.finfo(joint.dtype).min).logsumexp(-1)


def _unchanged(joint: Tensor) -> Tensor:
    return joint


def _by_chunks(
    finish: Callable[[Tensor], Tensor], value: Tensor, logits: Tensor, locs: Tensor, scales: Tensor
) -> list[Tensor]:
    """Apply ``finish`` to the joint log-densities of one chunk of components after another."""
    num_components, dim = locs.shape[-2:]
    num_groups = broadcast_shape(locs.shape[:-2], scales.shape[:-2]).numel()
    num_rows = broadcast_shape(value.shape[:-1], locs.shape[:-2], scales.shape[:-2]).numel()
    if _prefers_products(value, num_rows, num_groups, num_components * dim):
        kernel, elements = _products, num_rows + num_groups * dim
    else:
        kernel, elements = _broadcast, num_rows * dim
    size = max(1, CHUNK_ELEMENTS // max(1, elements))
    if size >= num_components:
        return [finish(kernel(value, logits, locs, scales))]

    def chunk(*parameters: Tensor) -> Tensor:
        return finish(kernel(value, *parameters))

    parts = zip(logits.split(size, -1), locs.split(size, -2), scales.split(size, -2), strict=True)
    return [checkpoint(chunk, *part, use_reentrant=False, preserve_rng_state=False) for part in parts]


def _prefers_products(value: Tensor, num_rows: int, num_groups: int, size: int) -> bool:
    """Whether components are shared by enough single-precision values, on a device that has doubles."""
    shared = num_rows >= ROWS_FOR_PRODUCTS * num_groups and num_rows * size > PLAIN_ELEMENTS
    return shared and value.dtype != torch.float64 and value.device.type != "mps"


def _broadcast(value: Tensor, logits: Tensor, locs: Tensor, scales: Tensor) -> Tensor:
    distance = ((value.unsqueeze(-2) - locs) / scales).square().sum(-1)
    return logits - scales.log().sum(-1) - 0.5 * (distance + locs.shape[-1] * LOG_2PI)


def _products(value: Tensor, logits: Tensor, locs: Tensor, scales: Tensor) -> Tensor:
    r"""With precisions p and all points taken from a centre, (z - m)^2 p = z^2 p - 2 z (m p) + m^2 p."""
    centre = locs.detach().double().mean(-2, keepdim=True)
    z = value.double() - centre.squeeze(-2)
    m = locs.double() - centre
    precision = scales.double().pow(-2)
    rows = "...d,...kd->...k"
    distance = (
        torch.einsum(rows, z.square(), precision)
        - 2 * torch.einsum(rows, z, m * precision)
        + (m.square() * precision).sum(-1)
    )
    log_density = precision.log().sum(-1) - distance - locs.shape[-1] * LOG_2PI
    return logits + (0.5 * log_density).to(logits.dtype)
