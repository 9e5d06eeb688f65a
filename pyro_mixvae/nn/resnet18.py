"""ResNet-18, from torchvision."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn


class ResNet18(nn.Module):
    """torchvision's ResNet-18 without its published weights: images [\\*, 3, H, W] -> arrays [\\*, \\*out_shape].

    Args:
        in_shape: (3, H, W).
        out_shape: shape of one output; the last layer is linear.

    Raises:
        ValueError: for data that are not coloured images.

    Source: He et al. (2016); the Cauchy-Schwarz paper's comparison on faces.
    """

    def __init__(self, in_shape: Sequence[int], out_shape: Sequence[int]) -> None:
        from torchvision.models import resnet18

        super().__init__()
        if len(in_shape) != 3 or in_shape[0] != 3:
            raise ValueError(f"a ResNet-18 needs images (3, H, W), got data of shape {tuple(in_shape)}")
        self.in_shape, self.out_shape = tuple(in_shape), tuple(out_shape)
        self.layers = resnet18(weights=None, num_classes=math.prod(self.out_shape))

    def forward(self, x: Tensor) -> Tensor:
        leading = x.shape[:-3]
        return self.layers(x.reshape(-1, *self.in_shape)).reshape(leading + self.out_shape)
