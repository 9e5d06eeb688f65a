"""From a small image of features to a large one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from pyro_mixvae.nn.conv import _image_shape
from pyro_mixvae.nn.ensemble import checked_rows
from pyro_mixvae.nn.mlp import activation_by_name


class UpsamplingDecoder(nn.Module):
    """Transposed convolutions of size 3: features [\\*, F, h, w] -> [\\*, P, C, H, W].

    Each enlarges the image by its stride exactly; after the rows of ``layers`` comes one more, of stride 1, to the
    P C numbers of each pixel.

    Args:
        in_shape: (F, h, w).
        out_shape: (P, C, H, W), P numbers for each value of the image; the last layer is linear.
        layers: for each transposed convolution but the last its output channels and its stride.
        activation: after each layer but the last.
        batch_norm: normalise before each activation.

    Raises:
        ValueError: for shapes that are not images, or strides that do not lead from h x w to H x W; says which (h, w)
            would.

    Example:
        >>> import torch
        >>> network = UpsamplingDecoder((64, 7, 7), (1, 1, 28, 28), layers=[(32, 2), (16, 2)])
        >>> network(torch.zeros(5, 64, 7, 7)).shape
        torch.Size([5, 1, 1, 28, 28])

    Source: Ye and Bors, *Deep Mixture Generative Autoencoders*, section V.B, the mix-decoder.
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        out_shape: Sequence[int],
        layers: Sequence[Sequence[int]],
        activation: str = "relu",
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        num_params, *image_shape = out_shape
        self.in_shape, self.out_shape = _image_shape(in_shape), (num_params, *_image_shape(image_shape))
        rows = checked_rows(layers)
        total = math.prod(stride for _, stride in rows)
        channels, *size = self.in_shape
        if [side * total for side in size] != list(image_shape[1:]):
            exact = all(side % total == 0 for side in image_shape[1:])
            works = " x ".join(str(side // total) for side in image_shape[1:]) if exact else "no whole number of"
            raise ValueError(
                f"layers: strides {[stride for _, stride in rows]} enlarge {size[0]} x {size[1]} features to "
                f"{size[0] * total} x {size[1] * total}, but the data are {image_shape[1]} x {image_shape[2]}; "
                f"{works} features would lead there"
            )
        steps: list[nn.Module] = []
        for out_channels, stride in rows:
            steps.append(
                nn.ConvTranspose2d(channels, out_channels, 3, stride, 1, output_padding=stride - 1, bias=not batch_norm)
            )
            steps += [nn.BatchNorm2d(out_channels)] if batch_norm else []
            steps.append(activation_by_name(activation))
            channels = out_channels
        steps.append(nn.ConvTranspose2d(channels, num_params * image_shape[0], 3, 1, 1))
        self.layers = nn.Sequential(*steps)

    def forward(self, features: Tensor) -> Tensor:
        leading = features.shape[:-3]
        return self.layers(features.reshape(-1, *self.in_shape)).reshape(leading + self.out_shape)
