"""Fully connected networks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from pyro_mixvae.nn.gated import GatedLinear

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "softplus": nn.Softplus,
}


def activation_by_name(name: str) -> nn.Module:
    """A new activation layer.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"activation: expected one of {', '.join(ACTIVATIONS)}, got {name!r}")
    return ACTIVATIONS[name]()


class MLP(nn.Module):
    """A fully connected network from arrays to arrays: [\\*, \\*in_shape] -> [\\*, \\*out_shape].

    Any number of leading dimensions is allowed, so that particles and enumerated components pass through, with batch
    norm too: its statistics run over all of them.

    Args:
        in_shape: shape of one input.
        out_shape: shape of one output; the last layer is linear.
        hidden_dims: widths of the hidden layers.
        activation: ``"relu"``, ``"tanh"``, ``"elu"``, ``"gelu"`` or ``"softplus"``.
        batch_norm: normalise each hidden layer before its activation.
        gated: the hidden layers are :class:`~pyro_mixvae.nn.GatedLinear`.

    Raises:
        ValueError: for an unknown activation, or a width below 1.

    Example:
        >>> import torch
        >>> MLP((1, 8, 8), (2, 5), hidden_dims=[32])(torch.zeros(7, 3, 1, 8, 8)).shape
        torch.Size([7, 3, 2, 5])
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        out_shape: Sequence[int],
        hidden_dims: Sequence[int] = (500, 500),
        activation: str = "relu",
        batch_norm: bool = False,
        gated: bool = False,
    ) -> None:
        super().__init__()
        if any(width < 1 for width in hidden_dims):
            raise ValueError(f"hidden_dims: expected widths >= 1, got {list(hidden_dims)}")
        self.in_shape, self.out_shape = tuple(in_shape), tuple(out_shape)
        layers: list[nn.Module] = []
        linear = GatedLinear if gated else nn.Linear
        width = math.prod(self.in_shape)
        for hidden in hidden_dims:
            layers.append(linear(width, hidden, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm1d(hidden))
            layers.append(activation_by_name(activation))
            width = hidden
        layers.append(nn.Linear(width, math.prod(self.out_shape)))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        leading = x.shape[: x.dim() - len(self.in_shape)]
        return self.layers(x.reshape(-1, math.prod(self.in_shape))).reshape(leading + self.out_shape)
