r"""Sums over the pairs of components of two mixtures, and their gradient without an array of all pairs.

.. math:: L_n = \log \sum_m b_m e^{-D_{nm}}, \qquad D_{nm} = D_{CS}(q_n, p_m)
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["log_row_sums", "log_row_sums_again", "pairwise"]


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
    """:math:`L_n` for each row n, ``[*, N]``.

    :param log_weights: log b_m, ``[*, M]``.
    :param parameters: as for :func:`pairwise`.
    """
    return torch.logsumexp(log_weights.unsqueeze(-2) - pairwise(*parameters), -1)


def log_row_sums_again(log_weights: Tensor, *parameters: Tensor) -> Tensor:
    """The same, for one block of many: backward evaluates the pairs once more, and keeps nothing of their size."""
    return _LogRowSums.apply(log_weights, *parameters)


class _LogRowSums(torch.autograd.Function):
    r""":func:`log_row_sums` with its gradient written out.

    With the variances :math:`v = s_n^2 + t_m^2` and :math:`w_{nm} = \frac{b_m e^{-D_{nm}}}{e^{L_n}} g_n`,

    .. math::
        \frac{\partial D}{\partial \mu_n} = \frac{\mu_n - \nu_m}{v}, \qquad
        \frac{\partial D}{\partial s_n} = s_n \Bigl(\frac1v - \frac{(\mu_n - \nu_m)^2}{v^2}\Bigr) - \frac1{2 s_n} .
    """

    @staticmethod
    def forward(ctx: Any, *arguments: Tensor) -> Tensor:
        result = log_row_sums(*arguments)
        ctx.save_for_backward(*arguments, result)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        *arguments, result = ctx.saved_tensors
        (gradient,) = gradients
        if torch.is_grad_enabled():
            # the gradient's own gradient is wanted
            wanted = [value for value, needed in zip(arguments, ctx.needs_input_grad, strict=True) if needed]
            found = iter(torch.autograd.grad(log_row_sums(*arguments), wanted, gradient, create_graph=True))
            return tuple(next(found) if needed else None for needed in ctx.needs_input_grad)
        log_weights, mu, s, nu, t = arguments
        variance = s.square().unsqueeze(-2) + t.square().unsqueeze(-3)
        pull = mu.unsqueeze(-2) - nu.unsqueeze(-3)
        squared = pull.square()
        pull /= variance
        squared /= variance
        pairs = squared.add_(variance.log()).sum(-1)
        pairs -= (2 * s).log().sum(-1).unsqueeze(-1) + t.log().sum(-1).unsqueeze(-2)
        # a row without any weight has no gradient
        log_sums = result.masked_fill(result == -torch.inf, 0).unsqueeze(-1)
        w = (log_weights.unsqueeze(-2) - 0.5 * pairs - log_sums).exp_() * gradient.unsqueeze(-1)
        of_s = of_t = None
        if ctx.needs_input_grad[2] or ctx.needs_input_grad[4]:
            curvature = variance.reciprocal_().addcmul_(pull, pull, value=-1)
            of_rows, of_columns = _over_pairs(w, curvature)
            of_s = 0.5 / s * w.sum(-1).unsqueeze(-1) - s * of_rows
            of_t = 0.5 / t * w.sum(-2).unsqueeze(-1) - t * of_columns
        towards_columns, of_nu = _over_pairs(w, pull)
        in_order = (w.sum(-2), -towards_columns, of_s, of_nu, of_t)
        return tuple(
            None if value is None or not needed else value.sum_to_size(argument.shape)
            for value, needed, argument in zip(in_order, ctx.needs_input_grad, arguments, strict=True)
        )


def _over_pairs(w: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of w_nm x_nmd over m, ``[*, N, D]``, and over n, ``[*, M, D]``; the values are overwritten."""
    values *= w.unsqueeze(-1)
    return values.sum(-2), values.sum(-3)
