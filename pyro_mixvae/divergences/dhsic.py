"""Joint dependence of several variables: dHSIC and a permutation test with it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from pyro_mixvae.divergences.bandwidth import check_bandwidth
from pyro_mixvae.divergences.squared_distances import squared_distances

Bandwidth = float | Tensor | Sequence[float | Tensor] | None


def dhsic(codes: Sequence[Tensor], bandwidth: Bandwidth = None) -> Tensor:
    r"""The d-variable Hilbert-Schmidt independence criterion of K batches of codes, as V-statistic.

    .. math::
        \mathrm{dHSIC} = \frac1{n^2} \sum_{ij} \prod_k K^k_{ij}
            + \prod_k \frac1{n^2} \sum_{ij} K^k_{ij}
            - \frac2n \sum_i \prod_k \frac1n \sum_j K^k_{ij},
        \qquad K^k_{ij} = \exp\Bigl(-\frac{|z^k_i - z^k_j|^2}{2 h_k^2}\Bigr)

    It is never negative (up to rounding), converges to zero if and only if the K variables are jointly
    independent, and for K = 2 equals the biased HSIC. Memory and time grow as n^2 per variable.

    :param codes: K >= 2 tensors ``[n, D_k]`` with n >= 2 K rows that belong together.
    :param bandwidth: h, one number for all variables or one for each. ``None`` is the median heuristic
        :math:`h_k^2 = \frac12 \operatorname{median}_{i<j} |z^k_i - z^k_j|^2`, without gradient; the median of
        an even count is the mean of the two middle values, and h = 0.001 where the median is zero.
    :return: a scalar, without unit.
    :raises ValueError: for fewer than two variables, other than two dimensions, unequal n, n < 2 K, a number of
        bandwidths other than K, or one that is not positive.

    Source: Pfister, Buehlmann, Schoelkopf, Peters 2018, *Kernel-based tests for joint independence*;
    Ye and Bors, *Deep Mixture Generative Autoencoders*.

    >>> z = torch.linspace(-1, 1, 8).unsqueeze(-1)
    >>> dhsic([z, z])
    tensor(0.1098)
    >>> dhsic([z, torch.zeros(8, 3)])
    tensor(0.)
    """
    return _statistic(_kernels(codes, bandwidth))


class DHSICTest(NamedTuple):
    """The outcome of :func:`dhsic_test`.

    :param statistic: dHSIC of the codes, a scalar.
    :param p_value: the probability of so large a value under joint independence, a scalar in (0, 1].
    """

    statistic: Tensor
    p_value: Tensor


@torch.no_grad()
def dhsic_test(
    codes: Sequence[Tensor],
    num_permutations: int,
    generator: Generator | None = None,
    bandwidth: Bandwidth = None,
) -> DHSICTest:
    r"""Permutation test of joint independence.

    The rows of all variables but the first are permuted, each by its own permutation, B times. With
    :math:`T_b` the statistic of the permuted codes,

    .. math::
        p = \frac{1 + |\{b : T_b \ge T\}|}{1 + B} ,

    which under independence is uniform on the multiples of 1/(1 + B), so that :math:`P(p \le \alpha) \le
    \alpha` exactly. Ties count against rejection; statistics that differ by rounding alone are ties.

    :param codes: K >= 2 tensors ``[n, D_k]``, as for :func:`dhsic`; they are compared in double precision.
    :param num_permutations: B >= 1.
    :param generator: the source of the permutations; ``None`` for torch's own.
    :param bandwidth: as for :func:`dhsic`.
    :return: ``statistic`` and ``p_value``, scalars without gradient.
    :raises ValueError: as :func:`dhsic`, and where ``num_permutations`` is not positive.

    Source: Pfister, Buehlmann, Schoelkopf, Peters 2018, the permutation test.

    >>> z = torch.linspace(-1, 1, 20, dtype=torch.float64).unsqueeze(-1)
    >>> dhsic_test([z, z.square()], 99).p_value
    tensor(0.0..., dtype=torch.float64)
    """
    if num_permutations < 1:
        raise ValueError(f"num_permutations must be positive, got {num_permutations}")
    kernels = _kernels([code.double() for code in codes], bandwidth)
    statistic = _statistic(kernels)
    first, *others = kernels
    permuted = torch.stack(
        [_statistic([first, *(_permuted(kernel, generator) for kernel in others)]) for _ in range(num_permutations)]
    )
    rounding = 64 * torch.finfo(statistic.dtype).eps
    num_as_large = (permuted >= statistic - rounding).sum()
    return DHSICTest(statistic, (1 + num_as_large.double()) / (1 + num_permutations))


def _kernels(codes: Sequence[Tensor], bandwidth: Bandwidth) -> list[Tensor]:
    """The K Gaussian kernel matrices, ``[n, n]`` each."""
    _check(codes)
    if isinstance(bandwidth, Tensor) and bandwidth.dim() == 1:
        bandwidth = bandwidth.unbind()
    if isinstance(bandwidth, Sequence) and len(bandwidth) != len(codes):
        raise ValueError(f"bandwidth must be one number or {len(codes)}, one for each variable, got {len(bandwidth)}")
    bandwidths = bandwidth if isinstance(bandwidth, Sequence) else [bandwidth] * len(codes)
    kernels = []
    for code, given in zip(codes, bandwidths, strict=True):
        distances = squared_distances(code, code)
        if given is not None:
            check_bandwidth(given)
        h = _median_bandwidth(distances) if given is None else given
        kernels.append(torch.exp(distances / (-2 * h**2)))
    return kernels


def _check(codes: Sequence[Tensor]) -> None:
    shapes = [tuple(code.shape) for code in codes]
    if len(shapes) < 2:
        raise ValueError(f"codes must hold at least 2 variables, got {len(shapes)}")
    if any(len(shape) != 2 for shape in shapes) or len({shape[0] for shape in shapes}) > 1:
        raise ValueError(f"codes must be tensors [n, D_k] with the same n, got shapes {shapes}")
    if shapes[0][0] < 2 * len(shapes):
        raise ValueError(
            f"codes must have at least 2 K = {2 * len(shapes)} rows for K = {len(shapes)}, got {shapes[0][0]}"
        )


def _median_bandwidth(distances: Tensor) -> Tensor:
    """sqrt(median / 2) of the n (n - 1) / 2 squared distances with i < j.

    The k-th smallest of them is the (n + 2 k)-th smallest of the whole matrix, which holds n zeros on its
    diagonal and each distance twice; so none needs to be picked out.
    """
    n, flat = distances.shape[-1], distances.detach().flatten()
    num_pairs = n * (n - 1) // 2
    middle = {(num_pairs + 1) // 2, num_pairs // 2 + 1}
    median = torch.stack([flat.kthvalue(n + 2 * k).values for k in middle]).mean()
    return torch.where(median > 0, (median / 2).sqrt(), 1e-3)


def _statistic(kernels: Sequence[Tensor]) -> Tensor:
    joint = reduce(torch.mul, kernels).mean()
    product = reduce(torch.mul, [kernel.mean() for kernel in kernels])
    cross = reduce(torch.mul, [kernel.mean(-1) for kernel in kernels]).mean()
    return joint + product - 2 * cross


def _permuted(kernel: Tensor, generator: Generator | None) -> Tensor:
    device = kernel.device if generator is None else generator.device
    order = torch.randperm(kernel.shape[-1], generator=generator, device=device).to(kernel.device)
    return kernel[order][:, order]
