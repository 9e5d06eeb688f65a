"""A network of two inputs side by side, without putting them side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from pyro_mixvae.nn.mlp import MLP


@dataclass(frozen=True)
class Mixed:
    """Vectors [\\*, F] that are weighted sums of C rows, which linear maps need not be told apart.

    Attributes:
        weights: [\\*, C], for instance one-hot.
        rows: [C, F].
    """

    weights: Tensor
    rows: Tensor

    def dense(self) -> Tensor:
        """The vectors themselves, [\\*, F]."""
        return self.weights @ self.rows

    def through(self, weight: Tensor) -> Tensor:
        """The vectors after a linear map [G, F]: only the C rows go through it. [\\*, G]."""
        return self.weights @ linear(self.rows, weight)


def side_by_side(network: nn.Module, first: Tensor, second: Tensor | Mixed) -> Tensor:
    """``network(torch.cat([first, second], -1))`` for vectors whose leading dimensions broadcast.

    The first layer of an MLP is applied to each part by itself and the two results are added, so that what does not
    vary along an enumerated dimension is computed once.

    Args:
        network: [\\*, A + F] -> [\\*, ...].
        first: [\\*, A].
        second: [\\*, F].

    Example:
        >>> network = MLP((5,), (2,), hidden_dims=[8])
        >>> x, labels = torch.randn(100, 3), torch.randn(10, 1, 2)
        >>> side_by_side(network, x, labels).shape
        torch.Size([10, 100, 2])
    """
    layer = network.layers[0] if isinstance(network, MLP) and len(network.in_shape) == 1 else None
    if not isinstance(layer, nn.Linear):
        dense = second.dense() if isinstance(second, Mixed) else second
        leading = torch.broadcast_shapes(first.shape[:-1], dense.shape[:-1])
        return network(torch.cat([first.expand(*leading, -1), dense.expand(*leading, -1)], dim=-1))
    assert isinstance(network, MLP)
    left, right = layer.weight.split([first.shape[-1], layer.in_features - first.shape[-1]], dim=1)
    hidden = linear(first, left, layer.bias)
    hidden = hidden + (second.through(right) if isinstance(second, Mixed) else linear(second, right))
    leading = hidden.shape[:-1]
    hidden = hidden.reshape(math.prod(leading), -1)
    for step in list(network.layers)[1:]:
        hidden = step(hidden)
    return hidden.reshape(leading + network.out_shape)
