"""Maximum mean discrepancy between two samples."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from pyro_mixvae.distributions.precision import own_precision
from pyro_mixvae.divergences.bandwidth import check_bandwidth
from pyro_mixvae.divergences.squared_distances import squared_distances


def mmd(
    x: Tensor,
    y: Tensor,
    kernel: Literal["imq", "gaussian"] = "imq",
    bandwidth: float | Tensor = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
    r"""The squared maximum mean discrepancy of two samples, as biased V-statistic.

    .. math::
        \mathrm{MMD}^2 = \frac1{n^2} \sum_{ij} k(x_i, x_j) + \frac1{m^2} \sum_{ij} k(y_i, y_j)
            - \frac2{nm} \sum_{ij} k(x_i, y_j)

    With :math:`C = 2 D \sigma^2`, the mean squared distance between two draws from
    :math:`N(0, \sigma^2 I_D)`, the kernels are

    .. math::
        \text{imq: } k(x, y) = \frac{C}{C + |x - y|^2}, \qquad
        \text{gaussian: } k(x, y) = \exp\Bigl(-\frac{|x - y|^2}{C}\Bigr) ,

    so that typical distances under a prior of that scale matter most, for codes of any dimension.
    Never negative up to rounding, and zero for equal samples.

    :param x: codes ``[*, n, D]``.
    :param y: draws from the prior ``[*, m, D]``; the dimensions before the last two broadcast.
    :param kernel: ``"imq"``, the inverse multiquadratic, or ``"gaussian"``.
    :param bandwidth: :math:`\sigma`, the scale of the prior.
    :param mask: ``[*, n]``, False or 0 for rows of x that do not enter; ``None`` where all do.
    :return: ``[*]``, without unit; 0 where no row of x enters.
    :raises ValueError: for an unknown kernel, shapes that do not fit, no rows, or a bandwidth that is not positive.

    Source: Gretton et al. 2012, *A kernel two-sample test*, equation 5; Tolstikhin et al. 2018, *Wasserstein
    auto-encoders*, section 4, for C; Zhao, Song, Ermon 2017, *InfoVAE*, for its use.

    >>> x = torch.tensor([[0.0], [1.0]])
    >>> mmd(x, x + 2)
    tensor(0.9091)
    >>> mmd(x, torch.cat([x, x]), kernel="gaussian")
    tensor(0.)
    """
    if kernel not in ("imq", "gaussian"):
        raise ValueError(f'kernel must be "imq" or "gaussian", got {kernel!r}')
    if x.dim() < 2 or y.dim() < 2 or x.shape[-1] != y.shape[-1]:
        raise ValueError(f"x and y must have shapes [*, n, D] and [*, m, D], got {tuple(x.shape)} and {tuple(y.shape)}")
    _check_rows(x, y, mask)
    check_bandwidth(bandwidth)
    scale = 2 * x.shape[-1] * bandwidth**2

    def mean_kernel(a: Tensor, b: Tensor, weights_a: Tensor, weights_b: Tensor) -> Tensor:
        relative = squared_distances(a, b) / scale
        similarity = 1 / (1 + relative) if kernel == "imq" else torch.exp(-relative)
        with own_precision(similarity):
            return (weights_a * (similarity @ weights_b.unsqueeze(-1)).squeeze(-1)).sum(-1)

    weights_x = _weights(x) if mask is None else _normalised(mask.to(x.dtype))
    weights_y = _weights(y)
    squared = (
        mean_kernel(x, x, weights_x, weights_x)
        + mean_kernel(y, y, weights_y, weights_y)
        - 2 * mean_kernel(x, y, weights_x, weights_y)
    )
    return squared if mask is None else torch.where(mask.any(-1), squared, 0.0)


def _check_rows(x: Tensor, y: Tensor, mask: Tensor | None) -> None:
    shapes = f"x of {tuple(x.shape)} and y of {tuple(y.shape)}"
    if not x.shape[-2] or not y.shape[-2]:
        raise ValueError(f"x and y must have at least one row each, got {shapes}")
    try:
        torch.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    except RuntimeError as error:
        raise ValueError(f"the dimensions before the last two must broadcast, got {shapes}") from error
    if mask is not None and mask.shape[-1:] != x.shape[-2:-1]:
        raise ValueError(f"mask must have a number for each row of x, {x.shape[-2]}, got {tuple(mask.shape)}")


def _weights(rows: Tensor) -> Tensor:
    return rows.new_full(rows.shape[-2:-1], 1 / rows.shape[-2])


def _normalised(weights: Tensor) -> Tensor:
    total = weights.sum(-1, keepdim=True)
    return weights / torch.where(total > 0, total, 1.0)
