r"""Sums over the pairs of components of two mixtures, and their gradient without an array of all pairs.

.. math:: L_n = \log \sum_m b_m e^{-D_{nm}}, \qquad D_{nm} = D_{CS}(q_n, p_m)
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["log_row_sums", "pairwise"]


def pairwise(q_locs: Tensor, q_scales: Tensor, p_locs: Tensor, p_scales: Tensor) -> Tensor:
    """Cauchy-Schwarz divergence of every pair of diagonal Gaussians: one logarithm and one division for each number.

    It is a difference of logarithms of variances: exact to the last digits where these are near 1.

    :param q_locs: ``[*, N, D]``.
    :param q_scales: standard deviations, ``[*, N, D]``.
    :param p_locs: ``[*, M, D]``.
    :param p_scales: standard deviations, ``[*, M, D]``.
    :return: ``[*, N, M]`` in nats.

    >>> means = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    >>> pairwise(torch.zeros(1, 2), torch.ones(1, 2), means, torch.ones(2, 2))
    tensor([[0., 1.]])
    """
    mu, s = q_locs.unsqueeze(-2), q_scales.unsqueeze(-2)
    nu, t = p_locs.unsqueeze(-3), p_scales.unsqueeze(-3)
    variance = s.square() + t.square()
    pairs = (variance.log() + (mu - nu).square() / variance).sum(-1)
    return 0.5 * (pairs - (2 * q_scales).log().sum(-1).unsqueeze(-1) - p_scales.log().sum(-1).unsqueeze(-2))


def log_row_sums(log_weights: Tensor, *parameters: Tensor) -> Tensor:
    """:math:`L_n` for each row n, ``[*, N]``; for its gradient the ``[*, N, M]`` divergences are kept.

    :param log_weights: log b_m, ``[*, M]``.
    :param parameters: as for :func:`pairwise`.
    """
    return _LogRowSums.apply(log_weights, *parameters)


def by_autograd(log_weights: Tensor, *parameters: Tensor) -> Tensor:
    """The same, with gradients of every order, for which arrays ``[*, N, M, D]`` are kept."""
    return _log_sums(log_weights, pairwise(*parameters))


def _log_sums(log_weights: Tensor, pairs: Tensor) -> Tensor:
    return torch.logsumexp(log_weights.unsqueeze(-2) - pairs, -1)


class _LogRowSums(torch.autograd.Function):
    r""":func:`log_row_sums` with its gradient written out.

    With the variances :math:`v = s_n^2 + t_m^2` and :math:`w_{nm} = \frac{b_m e^{-D_{nm}}}{e^{L_n}} g_n`,

    .. math::
        \frac{\partial D}{\partial \mu_n} = \frac{\mu_n - \nu_m}{v}, \qquad
        \frac{\partial D}{\partial s_n} = s_n \Bigl(\frac1v - \frac{(\mu_n - \nu_m)^2}{v^2}\Bigr) - \frac1{2 s_n} .
    """

    @staticmethod
    def forward(ctx: Any, *arguments: Tensor) -> Tensor:
        log_weights, *parameters = (_in_memory(argument) for argument in arguments)
        pairs = pairwise(*parameters)
        result = _log_sums(log_weights, pairs)
        ctx.save_for_backward(*arguments, pairs, result)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        *arguments, pairs, result = ctx.saved_tensors
        (gradient,) = gradients
        if torch.is_grad_enabled():
            # the gradient's own gradient is wanted
            wanted = [value for value, needed in zip(arguments, ctx.needs_input_grad, strict=True) if needed]
            found = iter(torch.autograd.grad(by_autograd(*arguments), wanted, gradient, create_graph=True))
            return tuple(next(found) if needed else None for needed in ctx.needs_input_grad)
        log_weights, mu, s, nu, t = (_in_memory(argument) for argument in arguments)
        # a row without any weight has no gradient
        log_sums = result.masked_fill(result == -torch.inf, 0)
        w = _in_memory((log_weights.unsqueeze(-2) - pairs - log_sums.unsqueeze(-1)).exp_() * gradient.unsqueeze(-1))
        of_rows, of_columns, of_mu, of_s, of_nu, of_t = w.sum(-1), w.sum(-2), None, None, None, None
        if any(ctx.needs_input_grad[1:3]):
            pull, curvature = _over_columns(w, mu, s, nu, t)
            of_mu, of_s = -pull, 0.5 / s * of_rows.unsqueeze(-1) - s * curvature
        if any(ctx.needs_input_grad[3:]):
            pull, curvature = _over_columns(w.mT, nu, t, mu, s)
            of_nu, of_t = -pull, 0.5 / t * of_columns.unsqueeze(-1) - t * curvature
        return tuple(
            None if value is None or not needed else value.sum_to_size(argument.shape)
            for value, needed, argument in zip(
                (of_columns, of_mu, of_s, of_nu, of_t), ctx.needs_input_grad, arguments, strict=True
            )
        )


def _over_columns(w: Tensor, mu: Tensor, s: Tensor, nu: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    r""":math:`\sum_m w_{nm} \frac{\mu_n - \nu_m}v` and :math:`\sum_m w_{nm} (\frac1v - \frac{(\mu_n - \nu_m)^2}{v^2})`.

    Rows and columns take turns here: a compiled loop then needs no array of all pairs, where one that sums over both
    would write it down.
    """
    variance = s.square().unsqueeze(-2) + t.square().unsqueeze(-3)
    pull = (mu.unsqueeze(-2) - nu.unsqueeze(-3)) / variance
    curvature = variance.reciprocal_().addcmul_(pull, pull, value=-1)
    w = w.unsqueeze(-1)
    return pull.mul_(w).sum(-2), curvature.mul_(w).sum(-2)


def _in_memory(tensor: Tensor) -> Tensor:
    """The same numbers; a compiler computes them once in advance, and not again for each pair that they are part of."""
    return tensor.as_strided(tensor.shape, tensor.stride())
