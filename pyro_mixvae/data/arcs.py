"""Five arcs in the plane: the GMVAE paper's synthetic data."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .dataset import DataSet
from .synthetic import synthetic

_NUM_ARCS = 5


def load_arcs(seed: int = 0, num_points: int = 10_000, num_test: int = 2_000, noise: float = 0.05) -> DataSet:
    """Points on arcs of five circles, like the sails of a windmill, with Gaussian noise.

    Arc k is that part of a circle of radius 0.6 which lies between the angles a_k - 0.1 pi and
    a_k + 0.75 pi, a_k = 2 pi k / 5, its centre at distance 0.7 from the origin in the direction a_k; points
    are spread evenly over the arcs and along them. (The paper prints no formula: these numbers are ours,
    chosen so that the arcs fill -1.5..1.5 as in its figure 2 and stay apart.)

    Args:
        seed: names the draw.
        num_points: points to train on.
        num_test: further points, held out.
        noise: standard deviation of each coordinate.

    Returns:
        Vectors ``(2,)``, ``float32``; the class is the number of the arc.

    Raises:
        ValueError: for fewer than one point, or a negative noise.

    Source:
        Dilokthanakul et al. 2016, section 4.1 and figure 2a: 10,000 points.

    >>> arcs = load_arcs()
    >>> len(arcs.train), len(arcs.test), arcs.event_shape
    (10000, 2000, (2,))
    """
    if noise < 0:
        raise ValueError(f"noise: got {noise}; allowed are numbers from 0")

    def draw(number: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        arc = torch.randint(_NUM_ARCS, (number,), generator=random)
        start = 2 * math.pi * arc / _NUM_ARCS
        angle = start + math.pi * (0.85 * torch.rand(number, generator=random) - 0.1)
        centre = 0.7 * torch.stack([start.cos(), start.sin()], dim=-1)
        circle = 0.6 * torch.stack([angle.cos(), angle.sin()], dim=-1)
        return centre + circle + noise * torch.randn(number, 2, generator=random), arc

    return synthetic(
        "arcs",
        draw,
        seed,
        num_points,
        num_test,
        class_names=tuple(f"arc {k}" for k in range(_NUM_ARCS)),
        source="synthetic: arcs of five circles (after Dilokthanakul et al. 2016, figure 2)",
    )
