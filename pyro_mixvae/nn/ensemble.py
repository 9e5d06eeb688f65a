"""K networks of one shape that run as one: every parameter has the networks along its first dimension."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pyro_mixvae.nn.conv import _image_shape
from pyro_mixvae.nn.mlp import activation_by_name


class Ensemble(nn.Module):
    """K networks whose every parameter is [K, ...].

    Args:
        num_networks: K.

    Raises:
        ValueError: for K below 1.
    """

    def __init__(self, num_networks: int) -> None:
        super().__init__()
        if num_networks < 1:
            raise ValueError(f"num_networks: expected an integer >= 1, got {num_networks}")
        self.num_networks = num_networks

    def select(self, networks: Sequence[int]) -> Self:
        """A copy that holds only these networks, in this order.

        Args:
            networks: numbers in 0..K-1.
        """
        chosen = list(networks)
        clone = copy.deepcopy(self)
        for module in clone.modules():
            if isinstance(module, Ensemble):
                module.num_networks = len(chosen)
            for name, parameter in module.named_parameters(recurse=False):
                kept = parameter.detach()[chosen].clone()
                setattr(module, name, nn.Parameter(kept, requires_grad=parameter.requires_grad))
        return clone


class SharedInputLinear(Ensemble):
    """K linear layers that see the same input: [N, in] -> [N, K, out], as one matrix product.

    Args:
        num_networks: K.
        in_features, out_features: size of one input and of one output.
    """

    def __init__(self, num_networks: int, in_features: int, out_features: int) -> None:
        super().__init__(num_networks)
        self.weight = _uniform((num_networks, out_features, in_features), in_features)
        self.bias = _uniform((num_networks, out_features), in_features)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.flatten(0, 1), self.bias.flatten()).unflatten(-1, self.bias.shape)


class ParallelLinear(Ensemble):
    """K linear layers with an input each: [N, K, in] -> [N, K, out], as one batched matrix product.

    The weights are kept as [K, in, out], which such a product takes without a copy.

    Args:
        num_networks: K.
        in_features, out_features: size of one input and of one output.
    """

    def __init__(self, num_networks: int, in_features: int, out_features: int) -> None:
        super().__init__(num_networks)
        self.weight = _uniform((num_networks, in_features, out_features), in_features)
        self.bias = _uniform((num_networks, out_features), in_features)

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias.unsqueeze(1), x.transpose(0, 1), self.weight).transpose(0, 1)


class EnsembleMLP(Ensemble):
    """K fully connected networks that see the same data: [N, \\*in_shape] -> [N, K, \\*out_shape].

    Args:
        in_shape: shape of one datum.
        out_shape: shape of one output of each network; the last layer is linear.
        num_networks: K.
        num_labels: size of a one-hot label that joins the input; 0: none.
        hidden_dims: widths of the hidden layers.
        activation: ``"relu"``, ``"tanh"``, ``"elu"``, ``"gelu"`` or ``"softplus"``.

    Raises:
        ValueError: for an unknown activation, or a width below 1.

    Example:
        >>> EnsembleMLP((1, 8, 8), (5,), num_networks=3, hidden_dims=[32])(torch.zeros(7, 1, 8, 8)).shape
        torch.Size([7, 3, 5])
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        out_shape: Sequence[int],
        num_networks: int,
        num_labels: int = 0,
        hidden_dims: Sequence[int] = (500, 500),
        activation: str = "relu",
    ) -> None:
        super().__init__(num_networks)
        if any(width < 1 for width in hidden_dims):
            raise ValueError(f"hidden_dims: expected widths >= 1, got {list(hidden_dims)}")
        self.out_shape = tuple(out_shape)
        widths = [math.prod(in_shape) + num_labels, *hidden_dims, math.prod(self.out_shape)]
        layers: list[nn.Module] = []
        for width, next_width in pairwise(widths):
            linear = ParallelLinear if layers else SharedInputLinear
            layers += [linear(num_networks, width, next_width), activation_by_name(activation)]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """The outputs for data [N, \\*in_shape] and, where labels take part, one-hot labels [N, num_labels]."""
        flat = x.flatten(1)
        return self.layers(flat if label is None else torch.cat([flat, label], -1)).unflatten(-1, self.out_shape)


class EnsembleConv(Ensemble):
    """K convolutional networks that see the same images: [N, C, H, W] -> [N, K, \\*out_shape].

    Convolutions of size 3, then one linear layer. On an accelerator the K networks run as grouped convolutions; on a
    CPU, where those are slower than one convolution after the other (PyTorch 2.11), each network's
    convolutions run by themselves, on the same parameters.

    Args:
        in_shape: (C, H, W).
        out_shape: shape of one output of each network.
        num_networks: K.
        num_labels: size of a one-hot label, which joins the image as so many constant channels; 0: none.
        layers: for each convolution its output channels and its stride.
        activation: after each convolution.

    Raises:
        ValueError: for data that are not images, or sides that the strides do not divide; says which sides work.

    Example:
        >>> EnsembleConv((1, 28, 28), (21,), num_networks=4, layers=[(32, 2), (64, 2)])(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5, 4, 21])

    Source: Ye and Bors, *Deep Mixture Generative Autoencoders*, section V.B.
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        out_shape: Sequence[int],
        num_networks: int,
        num_labels: int = 0,
        layers: Sequence[Sequence[int]] = ((32, 2), (64, 2)),
        activation: str = "relu",
    ) -> None:
        super().__init__(num_networks)
        channels, height, width = _image_shape(in_shape)
        rows = checked_rows(layers)
        total = math.prod(stride for _, stride in rows)
        if height % total or width % total:
            raise ValueError(
                f"layers: strides {[stride for _, stride in rows]} need sides that are multiples of {total}, such as "
                f"{_nearest(height, total)} x {_nearest(width, total)}, got images of {height} x {width}"
            )
        self.out_shape, self.strides = tuple(out_shape), [stride for _, stride in rows]
        self.activation = activation_by_name(activation)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        channels += num_labels
        for out_channels, _ in rows:
            self.weights.append(_uniform((num_networks, out_channels, channels, 3, 3), 9 * channels))
            self.biases.append(_uniform((num_networks, out_channels), 9 * channels))
            channels = out_channels
        features = channels * (height // total) * (width // total)
        self.head = ParallelLinear(num_networks, features, math.prod(self.out_shape))

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """The outputs for images [N, C, H, W] and, where labels take part, one-hot labels [N, num_labels]."""
        if label is not None:
            x = torch.cat([x, label[:, :, None, None].expand(*label.shape, *x.shape[-2:])], 1)
        features = self.one_by_one(x) if x.device.type == "cpu" else self.grouped(x)
        return self.head(features).unflatten(-1, self.out_shape)

    def grouped(self, x: Tensor) -> Tensor:
        """The K networks' features [N, K, F], by grouped convolutions."""
        groups = 1
        for weight, bias, stride in zip(self.weights, self.biases, self.strides, strict=True):
            x = self.activation(F.conv2d(x, weight.flatten(0, 1), bias.flatten(), stride, 1, groups=groups))
            groups = self.num_networks
        return x.unflatten(1, (self.num_networks, -1)).flatten(2)

    def one_by_one(self, x: Tensor) -> Tensor:
        """The K networks' features [N, K, F], one network after the other."""
        weights = zip(*(weight.unbind() for weight in self.weights), strict=True)
        biases = zip(*(bias.unbind() for bias in self.biases), strict=True)
        return torch.stack([self._features(x, *own) for own in zip(weights, biases, strict=True)], 1)

    def _features(self, x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
        for weight, bias, stride in zip(weights, biases, self.strides, strict=True):
            x = self.activation(F.conv2d(x, weight, bias, stride, 1))
        return x.flatten(1)


def checked_rows(layers: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """Rows of channels and stride.

    Raises:
        ValueError: for something else.
    """
    if not layers or any(len(row) != 2 or min(row) < 1 for row in layers):
        raise ValueError(f"layers: expected rows of channels and stride, both >= 1, got {layers!r}")
    return [(channels, stride) for channels, stride in layers]


def _nearest(side: int, multiple: int) -> int:
    return max(1, round(side / multiple)) * multiple


def _uniform(shape: Sequence[int], fan_in: int) -> nn.Parameter:
    """Torch's own initialisation of linear and convolutional layers, U(-1, 1) / sqrt(fan_in)."""
    return nn.Parameter(torch.empty(shape).uniform_(-1, 1) / math.sqrt(fan_in))
