"""Synthetic data sets: a way of drawing points, made into a data set with a held-out part."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .dataset import DataSet, Split
from .seeds import generator

Draw = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
"""Draws a number of points and their labels with the generator given."""


def synthetic(
    name: str,
    draw: Draw,
    seed: int,
    num_points: int,
    num_test: int,
    class_names: tuple[str, ...],
    source: str,
) -> DataSet:
    """A data set of points to train on and further points, drawn alike, to test on.

    The test points have a random stream of their own: their number does not change the training points.

    Raises:
        ValueError: if ``num_points`` is below 1 or ``num_test`` below 0.
    """
    if num_points < 1 or num_test < 0:
        raise ValueError(f"num_points, num_test: got {num_points}, {num_test}; allowed are from 1 and from 0")
    return DataSet(
        name=name,
        train=Split(*draw(num_points, generator(seed, 0))),
        validation=None,
        test=Split(*draw(num_test, generator(seed, 1))) if num_test else None,
        num_classes=len(class_names),
        class_names=class_names,
        source=f"{source}; {num_points} points, {num_test} more held out, seed {seed}",
    )
