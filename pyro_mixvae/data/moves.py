"""Images turned and shifted at random, for training."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from .dataset import DataSet, Transform
from .flips import Chain


@dataclasses.dataclass(frozen=True)
class RandomMoves:
    """Turn each image about its middle and shift it, both uniformly at random; the edge is repeated beyond itself.

    Attributes:
        rotation: the largest angle, in degrees.
        shift: the largest shift in each direction, in pixels.
    """

    rotation: float
    shift: float

    def __call__(self, x: Tensor, noise: torch.Generator) -> Tensor:
        """Images [B, C, H, W] -> the same shape."""
        height, width = x.shape[-2:]
        draws = 2 * torch.rand(3, len(x), generator=noise, device=x.device, dtype=x.dtype) - 1
        angle = draws[0] * math.radians(self.rotation)
        cos, sin = angle.cos(), angle.sin()
        # where each pixel comes from, in units of half the width and half the height
        rows = [cos, -sin * height / width, draws[1] * 2 * self.shift / width]
        columns = [sin * width / height, cos, draws[2] * 2 * self.shift / height]
        grid = affine_grid(
            torch.stack([torch.stack(rows, -1), torch.stack(columns, -1)], 1), list(x.shape), align_corners=False
        )
        return grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def moved(data: DataSet, rotation: float = 0.0, shift: float = 0.0) -> DataSet:
    """A data set whose training images are turned and shifted at random at every visit, after its own transform.

    Args:
        data: images ``(C, H, W)``.
        rotation: the largest angle, in degrees, in [0, 180].
        shift: the largest shift, in pixels; both 0 return the data as they are.

    Raises:
        ValueError: for numbers outside these ranges, and for data that are not images.
    """
    for name, number, most in (("rotation", rotation, 180.0), ("shift", shift, math.inf)):
        if not 0 <= number <= most or math.isinf(number):
            raise ValueError(f"{name}: got {number}; allowed are finite numbers in [0, {most:g}]")
    if not rotation and not shift:
        return data
    if len(data.event_shape) != 3:
        raise ValueError(f"rotation: {data.name} holds data of shape {data.event_shape}; allowed are images (C, H, W)")
    moves: Transform = RandomMoves(rotation, shift)
    return dataclasses.replace(data, transform=moves if data.transform is None else Chain(data.transform, moves))
