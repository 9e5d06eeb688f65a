"""Two Gaussians on the line: the target that one Gaussian cannot fit."""

from __future__ import annotations

import torch
from torch import Tensor

from .dataset import DataSet
from .synthetic import synthetic


def load_two_gaussians(seed: int = 0, num_points: int = 2_000, num_test: int = 1_000) -> DataSet:
    """Draws from 1/2 N(-3, 1) + 1/2 N(3, 1).

    Args:
        seed: names the draw.
        num_points: points to train on.
        num_test: further points, held out.

    Returns:
        Vectors ``(1,)``, ``float32``; the class is the Gaussian, 0 at -3 and 1 at 3.

    Raises:
        ValueError: for fewer than one point.

    Source:
        Tran, Pantic, Deisenroth, section 4 and figure 1: 2,000 draws.

    >>> load_two_gaussians().train.x.shape
    torch.Size([2000, 1])
    """

    def draw(number: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        side = torch.randint(2, (number,), generator=random)
        return (6.0 * side - 3 + torch.randn(number, generator=random)).unsqueeze(-1), side

    return synthetic(
        "two-gaussians",
        draw,
        seed,
        num_points,
        num_test,
        class_names=("left", "right"),
        source="synthetic: 1/2 N(-3, 1) + 1/2 N(3, 1) (Tran, Pantic, Deisenroth, figure 1)",
    )
