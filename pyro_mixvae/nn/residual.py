"""Residual blocks of convolutions."""

from __future__ import annotations

from torch import Tensor, nn

from pyro_mixvae.nn.mlp import activation_by_name


class ResidualBlock(nn.Module):
    """What two convolutions of size 3 and 1 add to an image of any size: [N, C, H, W] -> [N, C, H, W].

    Args:
        channels: C.
        activation: before each of the two convolutions.
        batch_norm: normalise before each activation.

    Source: Cauchy-Schwarz paper, table VI, the rows of CIFAR-10.
    """

    def __init__(self, channels: int, activation: str = "relu", batch_norm: bool = False) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        for kernel in (3, 1):
            steps += [nn.BatchNorm2d(channels)] if batch_norm else []
            steps += [activation_by_name(activation), nn.Conv2d(channels, channels, kernel, padding=kernel // 2)]
        self.layers = nn.Sequential(*steps)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)
