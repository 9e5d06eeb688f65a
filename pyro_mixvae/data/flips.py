"""Images and their mirror images."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from .dataset import DataSet, Transform


def horizontal_flips(x: Tensor, noise: torch.Generator) -> Tensor:
    """Mirror each image from left to right with probability one half.

    Args:
        x: images, ``[B, C, H, W]``.
        noise: the source of randomness, on the device of ``x``.

    >>> images = torch.tensor([[[[1.0, 2.0]]]]).expand(4, 1, 1, 2)
    >>> horizontal_flips(images, torch.Generator().manual_seed(0)).flatten(1)
    tensor([[2., 1.],
            [1., 2.],
            [2., 1.],
            [2., 1.]])
    """
    mirrored = torch.rand(len(x), 1, 1, 1, generator=noise, device=x.device) < 0.5
    return torch.where(mirrored, x.flip(-1), x)


@dataclasses.dataclass(frozen=True)
class Chain:
    """One transform after another, with one source of randomness."""

    first: Transform
    second: Transform

    def __call__(self, x: Tensor, noise: torch.Generator) -> Tensor:
        return self.second(self.first(x, noise), noise)


def flipped(data: DataSet, flips: bool = True) -> DataSet:
    """A data set whose training images are mirrored at random at every visit, before its own transform.

    Args:
        data: images ``(C, H, W)``.
        flips: ``False`` returns the data as they are.

    Raises:
        ValueError: for data that are not images.
    """
    if not flips:
        return data
    if len(data.event_shape) != 3:
        raise ValueError(f"flips: {data.name} holds data of shape {data.event_shape}; allowed are images (C, H, W)")
    transform = horizontal_flips if data.transform is None else Chain(horizontal_flips, data.transform)
    return dataclasses.replace(data, transform=transform)
