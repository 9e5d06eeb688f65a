"""Squared Euclidean distances between all rows of two matrices, in memory that the result itself needs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyro_mixvae.distributions.precision import own_precision

MAX_BLOCK = 2**20
"""How many numbers (rows x columns x D) are compared at a time."""


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    r"""Squared distances, from the differences themselves.

    .. math::
        d_{ij} = \sum_k (x_{ik} - y_{jk})^2

    Nothing cancels, no root is taken (its gradient would be infinite at ties), and neither direction keeps
    the n x m x D differences: forward forms them in blocks of rows, backward needs two matrix products.

    :param x: ``[*, n, D]``.
    :param y: ``[*, m, D]``; the dimensions before the last two are the same, or broadcast.
    :return: ``[*, n, m]``.

    >>> squared_distances(torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.zeros(1, 2))
    tensor([[ 0.],
            [25.]])
    """
    batch_shape = torch.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    x, y = x.expand(batch_shape + x.shape[-2:]), y.expand(batch_shape + y.shape[-2:])
    return _SquaredDistances.apply(x, y)


class _SquaredDistances(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(x, y)
        height = max(1, MAX_BLOCK // max(1, y.numel()))
        columns = y.unsqueeze(-3)
        blocks = [(rows.unsqueeze(-2) - columns).square_().sum(-1) for rows in x.split(height, -2)]
        return torch.cat(blocks, -2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, y = ctx.saved_tensors
        centre = x.mean(-2, keepdim=True)
        x, y = x - centre, y - centre
        with own_precision(grad):
            grad_x = 2 * (grad.sum(-1).unsqueeze(-1) * x - grad @ y)
            grad_y = 2 * (grad.sum(-2).unsqueeze(-1) * y - grad.mT @ x)
        return grad_x, grad_y
