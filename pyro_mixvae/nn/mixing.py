"""Parallel encoders and sub-decoders, and what is mixed of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from pyro_mixvae.nn.build import NetworkSpec, build_network
from pyro_mixvae.nn.ensemble import Ensemble, EnsembleConv, EnsembleMLP, ParallelLinear
from pyro_mixvae.nn.mlp import activation_by_name


def build_ensemble(
    spec: NetworkSpec,
    in_shape: Sequence[int],
    out_shape: Sequence[int],
    name: str,
    num_networks: int,
    num_labels: int = 0,
) -> nn.Module:
    """K networks of one description that run as one, mapping [N, \\*in_shape] to [N, K, \\*out_shape].

    Args:
        spec: ``{"kind": "mlp" or "conv", **options}``, or a user's own module for all K.
        in_shape: shape of one input.
        out_shape: shape of one output of each network.
        name: the argument's name, for error messages.
        num_networks: K.
        num_labels: size of one-hot labels, the networks' second argument; 0: none.

    Raises:
        ValueError: as :func:`~pyro_mixvae.nn.build_network`.
    """
    mlp = partial(EnsembleMLP, num_networks=num_networks, num_labels=num_labels)
    conv = partial(EnsembleConv, num_networks=num_networks, num_labels=num_labels)
    return build_network(spec, in_shape, out_shape, name, {"mlp": mlp, "conv": conv})


class SubDecoders(Ensemble):
    r"""K networks of one layer, each with a code of its own, and the weighted sum of what they give.

    .. math:: s = \sum_i b_i \, t_i(z_i), \qquad t_i(z) = \phi(W_i z + c_i)

    Args:
        num_networks: K.
        in_features: size of one code, and of the one-hot label where there is one.
        out_shape: shape of s.
        activation: phi.

    Source: Ye and Bors, *Deep Mixture Generative Autoencoders*, equations 4 and 17.
    """

    def __init__(self, num_networks: int, in_features: int, out_shape: Sequence[int], activation: str = "relu") -> None:
        super().__init__(num_networks)
        self.out_shape = tuple(out_shape)
        self.layer = ParallelLinear(num_networks, in_features, math.prod(self.out_shape))
        self.activation = activation_by_name(activation)

    def forward(self, z: Tensor, weights: Tensor, label: Tensor | None = None) -> Tensor:
        """s, [\\*, N, \\*out_shape].

        Args:
            z: a code for each network, [\\*, N, K, D], or fewer dimensions in front where the weights have them.
            weights: b, [\\*, N, K] or [K].
            label: one-hot labels that join every code, [N, C].
        """
        z = z.expand(*torch.broadcast_shapes(z.shape[:-1], weights.shape), z.shape[-1])
        leading = z.shape[:-2]
        if label is not None:
            z = torch.cat([z, label.unsqueeze(-2).expand(*z.shape[:-1], -1)], -1)
        views = self.activation(self.layer(z.reshape(-1, *z.shape[-2:])))
        mixed = torch.einsum("nk,nks->ns", weights.expand(z.shape[:-1]).reshape(-1, z.shape[-2]), views)
        return mixed.reshape(leading + self.out_shape)
