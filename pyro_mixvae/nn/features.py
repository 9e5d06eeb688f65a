"""Networks whose last layer is a hidden one: its output is activated, to be read by several others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from pyro_mixvae.nn.build import NetworkSpec, build_network
from pyro_mixvae.nn.mlp import activation_by_name


class FeatureNetwork(nn.Module):
    """A network and what comes after its last layer: normalisation, where it normalises, and its activation.

    Args:
        network: [\\*, \\*in_shape] -> [\\*, dim].
        dim: how many features.
        activation: of the features.
        batch_norm: normalise them before.
    """

    def __init__(self, network: nn.Module, dim: int, activation: str = "relu", batch_norm: bool = False) -> None:
        super().__init__()
        self.network = network
        self.norm = nn.BatchNorm1d(dim) if batch_norm else None
        self.activation = activation_by_name(activation)

    def forward(self, x: Tensor) -> Tensor:
        features = self.network(x)
        if self.norm is not None:
            features = self.norm(features.flatten(0, -2)).reshape(features.shape)
        return self.activation(features)


def build_features(spec: NetworkSpec, in_shape: Sequence[int], dim: int, name: str) -> nn.Module:
    """The network that ``spec`` describes with ``dim`` features as its last hidden layer; a module is taken as it is.

    Raises:
        ValueError: as :func:`~pyro_mixvae.nn.build_network`, or for fewer than one feature.

    >>> network = build_features({"hidden_dims": [300]}, (784,), 300, "encoder")
    >>> [type(layer).__name__ for layer in network.modules() if not list(layer.children())]
    ['Linear', 'ReLU', 'Linear', 'ReLU']
    """
    if dim < 1:
        raise ValueError(f"{name}: expected one feature or more, got {dim}")
    network = build_network(spec, in_shape, (dim,), name)
    if not isinstance(spec, Mapping):
        return network
    convolutional = spec.get("kind", "mlp") == "conv"
    return FeatureNetwork(network, dim, spec.get("activation", "relu"), spec.get("batch_norm", convolutional))
