"""Convolutional networks as the papers' tables list them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from torch import Tensor, nn

from pyro_mixvae.nn.mlp import activation_by_name
from pyro_mixvae.nn.residual import ResidualBlock

#: One row of a table: channels, kernel size, stride and padding of a convolution; or ``"residual"`` for a block that
#: starts with its own activation and keeps the image's shape.
Layer = Sequence[int] | Literal["residual"]


class ConvEncoder(nn.Module):
    """Convolutions, then fully connected layers: images [\\*, C, H, W] -> arrays [\\*, \\*out_shape].

    Args:
        in_shape: (C, H, W).
        out_shape: shape of one output; the last layer is linear.
        layers: for each convolution its output channels, kernel size, stride and padding; ``"residual"`` for a
            residual block.
        hidden_dims: widths of the fully connected layers after them.
        activation: after each convolution and each hidden layer; before a residual block only the block's own.
        batch_norm: normalise before each activation.

    Raises:
        ValueError: for data that are not images, or an image that a convolution leaves nothing of.

    Example:
        >>> import torch
        >>> network = ConvEncoder((1, 28, 28), (20,), layers=[(16, 6, 1, 0), (32, 6, 1, 0), (64, 4, 2, 1)])
        >>> network(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5, 20])

    Source: GMVAE paper, table A.1; Cauchy-Schwarz paper, table VI.
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        out_shape: Sequence[int],
        layers: Sequence[Layer],
        hidden_dims: Sequence[int] = (500,),
        activation: str = "relu",
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        self.in_shape, self.out_shape = _image_shape(in_shape), tuple(out_shape)
        channels, *size = self.in_shape
        steps: list[nn.Module] = []
        for out_channels, kernel, stride, padding, num_blocks in _checked(layers):
            size = [(side + 2 * padding - kernel) // stride + 1 for side in size]
            if min(size) < 1:
                raise ValueError(
                    f"layers: images of {self.in_shape[1]} x {self.in_shape[2]} are too small for {len(layers)} "
                    f"convolutions; nothing is left after the one with {out_channels} channels"
                )
            steps.append(nn.Conv2d(channels, out_channels, kernel, stride, padding, bias=not batch_norm))
            steps += [ResidualBlock(out_channels, activation, batch_norm) for _ in range(num_blocks)]
            steps += _after(nn.BatchNorm2d(out_channels) if batch_norm else None, activation)
            channels = out_channels
        steps.append(nn.Flatten())
        width = channels * math.prod(size)
        for hidden in hidden_dims:
            steps.append(nn.Linear(width, hidden, bias=not batch_norm))
            steps += _after(nn.BatchNorm1d(hidden) if batch_norm else None, activation)
            width = hidden
        steps.append(nn.Linear(width, math.prod(self.out_shape)))
        self.layers = nn.Sequential(*steps)

    def forward(self, x: Tensor) -> Tensor:
        leading = x.shape[:-3]
        return self.layers(x.reshape(-1, *self.in_shape)).reshape(leading + self.out_shape)


class ConvDecoder(nn.Module):
    """Fully connected layers, then transposed convolutions: arrays [\\*, \\*in_shape] -> [\\*, P, C, H, W].

    The first convolution, over the whole of its small image, is what the paper calls a full convolution from 1 x 1;
    its size follows from the output's by going backwards through the layers.

    Args:
        in_shape: shape of one input.
        out_shape: (P, C, H, W), P numbers for each value of the image; the last layer is linear.
        layers: for each transposed convolution its *input* channels, kernel size, stride and padding; ``"residual"``
            for a residual block.
        hidden_dims: widths of the fully connected layers before them.
        activation: after each layer but the last.
        batch_norm: normalise before each activation.

    Raises:
        ValueError: for an output that is not an image, or whose size the layers cannot give.

    Example:
        >>> import torch
        >>> network = ConvDecoder((20,), (1, 1, 28, 28), layers=[(64, 4, 2, 1), (32, 6, 1, 0), (16, 6, 1, 0)])
        >>> network(torch.zeros(5, 20)).shape
        torch.Size([5, 1, 1, 28, 28])

    Source: GMVAE paper, table A.3; Cauchy-Schwarz paper, table VI, whose "FC 8192, reshape (128, 8, 8)" is such a
    full convolution (but for one bias for each channel instead of each value).
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        out_shape: Sequence[int],
        layers: Sequence[Layer],
        hidden_dims: Sequence[int] = (500,),
        activation: str = "relu",
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        num_params, *image_shape = out_shape
        self.in_shape, self.out_shape = tuple(in_shape), (num_params, *_image_shape(image_shape))
        rows = _checked(layers)
        if rows[-1].num_blocks:
            raise ValueError(f"layers: the last must be a convolution, its output is the image; got {layers!r}")
        size = (_input_side(image_shape[1], rows), _input_side(image_shape[2], rows))
        steps: list[nn.Module] = [nn.Flatten()]
        width = math.prod(self.in_shape)
        for hidden in hidden_dims:
            steps.append(nn.Linear(width, hidden, bias=not batch_norm))
            steps += _after(nn.BatchNorm1d(hidden) if batch_norm else None, activation)
            width = hidden
        first = rows[0].channels
        steps += [nn.Unflatten(1, (width, 1, 1)), nn.ConvTranspose2d(width, first, size, bias=not batch_norm)]
        steps += _after(nn.BatchNorm2d(first) if batch_norm else None, activation)
        for (channels, kernel, stride, padding, num_blocks), following in pairwise(rows):
            out_channels = following.channels
            steps.append(nn.ConvTranspose2d(channels, out_channels, kernel, stride, padding, bias=not batch_norm))
            steps += [ResidualBlock(out_channels, activation, batch_norm) for _ in range(num_blocks)]
            steps += _after(nn.BatchNorm2d(out_channels) if batch_norm else None, activation)
        channels, kernel, stride, padding, _ = rows[-1]
        steps.append(nn.ConvTranspose2d(channels, num_params * image_shape[0], kernel, stride, padding))
        self.layers = nn.Sequential(*steps)

    def forward(self, z: Tensor) -> Tensor:
        leading = z.shape[: z.dim() - len(self.in_shape)]
        return self.layers(z.reshape(-1, *self.in_shape)).reshape(leading + self.out_shape)


def _image_shape(shape: Sequence[int]) -> tuple[int, ...]:
    if len(shape) != 3:
        raise ValueError(
            f"a convolutional network needs images (C, H, W), got data of shape {tuple(shape)}; use an mlp"
        )
    return tuple(shape)


class _Convolution(NamedTuple):
    """One convolution, and how many residual blocks come after it."""

    channels: int
    kernel: int
    stride: int
    padding: int
    num_blocks: int


def _checked(layers: Sequence[Layer]) -> list[_Convolution]:
    if not layers or layers[0] == "residual" or any(layer != "residual" and len(layer) != 4 for layer in layers):
        raise ValueError(
            "layers: expected rows of channels, kernel, stride and padding, with 'residual' after any of them, got "
            f"{layers!r}"
        )
    rows: list[_Convolution] = []
    for layer in layers:
        if layer == "residual":
            rows[-1] = rows[-1]._replace(num_blocks=rows[-1].num_blocks + 1)
        else:
            channels, kernel, stride, padding = layer
            rows.append(_Convolution(int(channels), int(kernel), int(stride), int(padding), num_blocks=0))
    return rows


def _input_side(side: int, rows: Sequence[_Convolution]) -> int:
    """The side of the image that transposed convolutions turn into one of ``side``."""
    wanted = side
    for _, kernel, stride, padding, _ in reversed(rows):
        numerator = side + 2 * padding - kernel
        if numerator < 0 or numerator % stride:
            raise ValueError(
                f"layers: transposed convolutions {[row[:4] for row in rows]} cannot give a side of {wanted}: "
                f"one with kernel {kernel}, stride {stride} and padding {padding} cannot give {side}"
            )
        side = numerator // stride + 1
    return side


def _after(norm: nn.Module | None, activation: str) -> list[nn.Module]:
    return ([] if norm is None else [norm]) + [activation_by_name(activation)]
