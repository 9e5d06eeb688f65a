"""Residual networks with activations before convolutions (ResNet-v2), from images to codes and back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from torch import Tensor, nn

#: Images are halved until a side would become shorter.
SHORTEST_SIDE = 4


class PreActivationBlock(nn.Module):
    """Two convolutions, each after batch norm and ReLU, added to a shortcut.

    Args:
        channels: of the input and of the output.
        first: the first convolution, which may change the image's size; the second, 3x3, keeps it.
        shortcut: what brings the activated input to the output's size; None: the input itself is added.

    Source: He, Zhang, Ren, Sun (2016), *Identity mappings in deep residual networks*, figure 4e.
    """

    def __init__(self, channels: int, first: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.activated = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())
        second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.convolutions = nn.Sequential(first, nn.BatchNorm2d(channels), nn.ReLU(), second)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        active = self.activated(x)
        return (x if self.shortcut is None else self.shortcut(active)) + self.convolutions(active)


class IdentityBlock(PreActivationBlock):
    """A block that keeps the image's size: [N, C, H, W] -> [N, C, H, W]."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, nn.Conv2d(channels, channels, 3, padding=1, bias=False))


class StridedBlock(PreActivationBlock):
    """A block that halves the image's even sides: [N, C, H, W] -> [N, C, H/2, W/2]."""

    def __init__(self, channels: int) -> None:
        first = nn.Conv2d(channels, channels, 3, stride=2, padding=1, bias=False)
        super().__init__(channels, first, nn.Conv2d(channels, channels, 1, stride=2, bias=False))


class TransposedBlock(PreActivationBlock):
    """A block that doubles the image's sides by transposed convolutions: [N, C, H, W] -> [N, C, 2 H, 2 W]."""

    def __init__(self, channels: int) -> None:
        first = nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1, bias=False)
        super().__init__(channels, first, nn.ConvTranspose2d(channels, channels, 2, stride=2, bias=False))


class ResNetEncoder(nn.Module):
    """Residual stages that halve an image, then a linear layer: [\\*, C, H, W] -> [\\*, \\*out_shape].

    A convolution, then stages of identity blocks and one strided block, as many as the image can be halved with sides
    of 4 at least (6 for 256x256, 1 for 8x8, 2 for 28x20), 1x1 convolutions to half the channels, and a linear layer.

    Args:
        in_shape: (C, H, W), both sides at least 8 and divisible by 4.
        out_shape: shape of one output.
        channels: width of every stage.
        num_identity: identity blocks in a stage.

    Raises:
        ValueError: for other sides, fewer than 2 channels, or a negative number of blocks.

    Example:
        >>> import torch
        >>> ResNetEncoder((1, 28, 20), (2, 10), channels=8)(torch.zeros(3, 1, 28, 20)).shape
        torch.Size([3, 2, 10])

    Source: Rivera, *How to train your VAE*, section 3.4 and figure 3a; widths from its author's code.
    """

    def __init__(
        self, in_shape: Sequence[int], out_shape: Sequence[int], channels: int = 128, num_identity: int = 2
    ) -> None:
        super().__init__()
        self.in_shape, self.out_shape = tuple(in_shape), tuple(out_shape)
        num_stages, (height, width) = halvings(self.in_shape)
        _check(channels, num_identity)
        self.layers = nn.Sequential(
            nn.Conv2d(self.in_shape[0], channels, 3, padding=1, bias=False),
            *(
                layer
                for _ in range(num_stages)
                for layer in (*_identities(channels, num_identity), StridedBlock(channels))
            ),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels // 2, 1),
            nn.Flatten(),
            nn.Linear(channels // 2 * height * width, math.prod(self.out_shape)),
        )

    def forward(self, x: Tensor) -> Tensor:
        leading = x.shape[:-3]
        return self.layers(x.reshape(-1, *self.in_shape)).reshape(leading + self.out_shape)


class ResNetDecoder(nn.Module):
    """The mirror of :class:`ResNetEncoder`: [\\*, \\*in_shape] -> [\\*, P, C, H, W].

    A linear layer to a small image, 1x1 convolutions to all channels, stages of one transposed block and identity
    blocks, and a convolution, whose output is linear.

    Args:
        in_shape: shape of one input.
        out_shape: (P, C, H, W), P numbers for each value of the image; both sides at least 8 and divisible by 4.
        channels: width of every stage.
        num_identity: identity blocks in a stage.

    Raises:
        ValueError: for other sides, fewer than 2 channels, or a negative number of blocks.

    Example:
        >>> import torch
        >>> ResNetDecoder((10,), (1, 1, 28, 20), channels=8)(torch.zeros(3, 10)).shape
        torch.Size([3, 1, 1, 28, 20])

    Source: Rivera, *How to train your VAE*, section 3.4 and figure 3c; widths from its author's code.
    """

    def __init__(
        self, in_shape: Sequence[int], out_shape: Sequence[int], channels: int = 128, num_identity: int = 2
    ) -> None:
        super().__init__()
        self.in_shape, self.out_shape = tuple(in_shape), tuple(out_shape)
        num_params, *image_shape = self.out_shape
        num_stages, (height, width) = halvings(image_shape)
        _check(channels, num_identity)
        self.layers = nn.Sequential(
            nn.Linear(math.prod(self.in_shape), channels // 2 * height * width),
            nn.Unflatten(1, (channels // 2, height, width)),
            nn.Conv2d(channels // 2, channels, 1, bias=False),
            *(
                layer
                for _ in range(num_stages)
                for layer in (TransposedBlock(channels), *_identities(channels, num_identity))
            ),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, num_params * image_shape[0], 3, padding=1),
        )

    def forward(self, z: Tensor) -> Tensor:
        leading = z.shape[: z.dim() - len(self.in_shape)]
        return self.layers(z.reshape(-1, math.prod(self.in_shape))).reshape(leading + self.out_shape)


def halvings(image_shape: Sequence[int]) -> tuple[int, tuple[int, int]]:
    """How often an image (C, H, W) can be halved with sides of 4 at least, and the sides that are left.

    Raises:
        ValueError: for something else than an image, or for sides below 8 or not divisible by 4.

    >>> halvings((3, 256, 256)), halvings((1, 28, 20))
    ((6, (4, 4)), (2, (7, 5)))
    """
    if len(image_shape) != 3:
        raise ValueError(f"a residual network needs images (C, H, W), got data of shape {tuple(image_shape)}")
    _, height, width = image_shape
    if min(height, width) < 2 * SHORTEST_SIDE or height % 4 or width % 4:
        raise ValueError(f"a residual network needs sides >= 8 that are divisible by 4, got {height} x {width}")
    count = 0
    while not (height % 2 or width % 2) and min(height, width) >= 2 * SHORTEST_SIDE:
        count, height, width = count + 1, height // 2, width // 2
    return count, (height, width)


def _identities(channels: int, number: int) -> Iterator[IdentityBlock]:
    return (IdentityBlock(channels) for _ in range(number))


def _check(channels: int, num_identity: int) -> None:
    if channels < 2:
        raise ValueError(f"channels: expected an integer >= 2, got {channels}")
    if num_identity < 0:
        raise ValueError(f"num_identity: expected an integer >= 0, got {num_identity}")
