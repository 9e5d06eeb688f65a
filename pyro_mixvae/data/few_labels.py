"""Training data of which only some keep their labels."""

from __future__ import annotations

import dataclasses

import torch

from .dataset import DataSet
from .seeds import generator


def few_labels(data: DataSet, share: float, seed: int = 0) -> DataSet:
    """Hide the labels of training data, at random, but for a share of them; validation and test keep theirs.

    Args:
        data: with labels.
        share: of the training data that keep their labels, in [0, 1]; 1 returns the data as they are.
        seed: names the choice; not negative.

    Returns:
        The same data, -1 in place of each hidden label.

    Raises:
        ValueError: for a share outside [0, 1], and for training data without labels.

    >>> from pyro_mixvae.data import load
    >>> int((few_labels(load("digits"), 0.4).train.y >= 0).sum())
    575
    """
    if not 0 <= share <= 1:
        raise ValueError(f"labelled: got {share}; allowed are shares in [0, 1]")
    if share == 1:
        return data
    x, y = data.train.x, data.train.y
    if y is None:
        raise ValueError(f"labelled: {data.name} has no labels to hide")
    order = torch.randperm(len(y), generator=generator(seed, len(y)))
    hidden = order[round(share * len(y)) :]
    y = y.clone()
    y[hidden] = -1
    return dataclasses.replace(data, train=dataclasses.replace(data.train, x=x, y=y))
