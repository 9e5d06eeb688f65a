"""The two terms by which a batch of Gaussian posteriors is compared with a standard Normal as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Moments = Literal["exact", "sampled", "means"]


def aggregate_kl(
    loc: Tensor,
    scale: Tensor,
    value: Tensor | None = None,
    moments: Moments = "exact",
    mask: Tensor | None = None,
    dim: int = -2,
    reduce: Callable[[Tensor], Tensor] = lambda total: total,
) -> Tensor:
    r"""KL divergence to N(0, I) of the Gaussian that has the moments of a whole batch of posteriors.

    .. math::
        KL_G = \tfrac12 \sum_j \bigl( v_j + m_j^2 - 1 - \log v_j \bigr), \qquad
        m_j = \frac1n \sum_i \mu_{ij}

    where :math:`v_j` is the batch's second moment about :math:`m_j`:

    .. math::
        \text{exact: } \frac1n \sum_i \bigl[ (\mu_{ij} - m_j)^2 + \sigma_{ij}^2 \bigr], \quad
        \text{sampled: } \frac1n \sum_i (z_{ij} - m_j)^2, \quad
        \text{means: } \frac1n \sum_i (\mu_{ij} - m_j)^2 .

    :param loc: :math:`\mu`, ``[*, n, D]``.
    :param scale: :math:`\sigma`, the same shape, or one that broadcasts with it.
    :param value: the samples z, which ``moments="sampled"`` needs; the same shape.
    :param moments: ``"sampled"`` is the paper's, ``"exact"`` its expectation over z, ``"means"`` what the
        author's published code computes.
    :param mask: ``[*, n]``, False or 0 for data that do not enter; ``None`` where all do.
    :param dim: the dimension of the data in ``loc``, negative, left of the last.
    :param reduce: sums a tensor over the processes of data-parallel training, differentiably; it is applied
        to the count, to the sum of the means and to the sum of squares about the mean of *all* data.
    :return: ``[*]``, the batch shape without the data's dimension, in nats; one number for the whole batch,
        not one per datum; 0 where no datum enters.
    :raises ValueError: for unknown ``moments``, a ``value`` that is missing or of another shape, or a ``dim`` that is
        no data dimension.

    Source: Rivera, *How to train your VAE*; section 2 of the specification.

    >>> loc = torch.tensor([[-0.8], [0.8]])
    >>> aggregate_kl(loc, torch.tensor([[0.6], [0.6]]))
    tensor(0.)
    >>> aggregate_kl(loc, torch.tensor([[0.6], [0.6]]), moments="means")
    tensor(0.0431)
    """
    if moments not in ("exact", "sampled", "means"):
        raise ValueError(f'moments must be "exact", "sampled" or "means", got {moments!r}')
    loc, scale = torch.broadcast_tensors(loc, scale)
    _check_dim(loc, dim)
    weights = _weights(loc, mask)
    total = reduce(weights.sum(dim, keepdim=True))
    # without any datum the moments are those of N(0, I), from which nothing differs
    present, count = total > 0, torch.where(total > 0, total, 1.0)
    mean = reduce((weights * loc).sum(dim, keepdim=True)) / count
    if moments == "exact":
        squares = (loc - mean).square() + scale.square()
    elif moments == "means":
        squares = (loc - mean).square()
    elif value is None:
        raise ValueError('value must be given with moments="sampled"')
    elif value.shape != loc.shape:
        raise ValueError(f"value must have the shape of loc, {tuple(loc.shape)}, got {tuple(value.shape)}")
    else:
        squares = (value - mean).square()
    variance = torch.where(present, reduce((weights * squares).sum(dim, keepdim=True)) / count, 1.0)
    return 0.5 * (variance + mean.square() - 1 - variance.log()).sum(-1).squeeze(dim + 1)


def individual_kl(loc: Tensor, scale: Tensor, mask: Tensor | None = None, dim: int = -2) -> Tensor:
    r"""Mean KL divergence of a batch of posteriors to Normals of unit variance about their own means.

    .. math::
        KL_I = \frac1n \sum_i \tfrac12 \sum_j \bigl( \sigma_{ij}^2 - 1 - \log \sigma_{ij}^2 \bigr)

    :param loc: ``[*, n, D]``; only its shape matters.
    :param scale: :math:`\sigma`, the same shape, or one that broadcasts with it.
    :param mask: ``[*, n]``, False or 0 for data that do not enter; ``None`` where all do.
    :param dim: the dimension of the data in ``loc``, negative, left of the last.
    :return: ``[*]``, the batch shape without the data's dimension, in nats; 0 where no datum enters.
    :raises ValueError: for a ``dim`` that is no data dimension.

    Source: Rivera, *How to train your VAE*; section 2 of the specification.

    >>> individual_kl(torch.zeros(2, 1), torch.tensor([[1.0], [0.5]]))
    tensor(0.1591)
    """
    loc, scale = torch.broadcast_tensors(loc, scale)
    _check_dim(loc, dim)
    weights = _weights(loc, mask)
    log_variance = 2 * scale.log()
    divergence = 0.5 * (log_variance.expm1() - log_variance).sum(-1, keepdim=True)
    count = weights.sum(dim)
    return ((weights * divergence).sum(dim) / torch.where(count > 0, count, 1.0)).squeeze(-1)


def _check_dim(loc: Tensor, dim: int) -> None:
    if not -loc.dim() <= dim <= -2:
        raise ValueError(f"dim must be a data dimension, from {-loc.dim()} to -2, got {dim}")


def _weights(loc: Tensor, mask: Tensor | None) -> Tensor:
    """1 for each datum that enters and 0 for the others, ``[*, n, 1]``."""
    batch_shape = (*loc.shape[:-1], 1)
    return loc.new_ones(batch_shape) if mask is None else mask.to(loc.dtype).unsqueeze(-1).expand(batch_shape)
