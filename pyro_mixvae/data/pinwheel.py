"""A pinwheel in the plane: the CSRAE paper's toy data."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .dataset import DataSet
from .synthetic import synthetic


def load_pinwheel(
    seed: int = 0,
    num_points: int = 4_000,
    num_test: int = 1_000,
    num_arms: int = 4,
    radial_scale: float = 0.05,
    tangential_scale: float = 0.25,
    rate: float = 0.25,
) -> DataSet:
    """Spiral arms around the origin, as many points in each.

    A point of arm k is (1 + radial_scale e_1, tangential_scale e_2), e standard normal, turned by the angle
    2 pi k / num_arms + rate exp(its first coordinate): the farther out, the further turned.

    Args:
        seed: names the draw.
        num_points: points to train on.
        num_test: further points, held out.
        num_arms: number of arms.
        radial_scale: standard deviation along the radius, before turning.
        tangential_scale: standard deviation across it.
        rate: of the turn.

    Returns:
        Vectors ``(2,)``, ``float32``; the class is the number of the arm.

    Raises:
        ValueError: for fewer than one arm or point, or a negative standard deviation.

    Source:
        Tran, Pantic, Deisenroth, section 4 and figure 2, after Johnson et al. 2016.

    >>> load_pinwheel().train.y.bincount()
    tensor([1000, 1000, 1000, 1000])
    """
    if num_arms < 1:
        raise ValueError(f"num_arms: got {num_arms}; allowed are integers from 1")
    if radial_scale < 0 or tangential_scale < 0:
        given = f"{radial_scale}, {tangential_scale}"
        raise ValueError(f"radial_scale, tangential_scale: got {given}; allowed are numbers from 0")

    def draw(number: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        arm = torch.randperm(number, generator=random) % num_arms
        radial, tangential = torch.randn(2, number, generator=random)
        along, across = 1 + radial_scale * radial, tangential_scale * tangential
        angle = 2 * math.pi * arm / num_arms + rate * along.exp()
        cos, sin = angle.cos(), angle.sin()
        return torch.stack([along * cos - across * sin, along * sin + across * cos], dim=-1), arm

    return synthetic(
        "pinwheel",
        draw,
        seed,
        num_points,
        num_test,
        class_names=tuple(f"arm {k}" for k in range(num_arms)),
        source="synthetic: pinwheel (Tran, Pantic, Deisenroth, figure 2, after Johnson et al. 2016)",
    )
