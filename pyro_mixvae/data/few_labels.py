"""Training data of which only some keep their labels."""

from __future__ import annotations

import dataclasses

import torch

from .dataset import DataSet
from .seeds import generator


def few_labels(data: DataSet, share: float, seed: int = 0) -> DataSet:
    """Hide the labels of training data, at random, but for some of them; validation and test keep theirs.

    Args:
        data: with labels.
        share: of the training data that keep their labels, in [0, 1], where 1 returns the data as they are; or how
            many keep them, from 2.
        seed: names the choice; not negative.

    Returns:
        The same data, -1 in place of each hidden label.

    Raises:
        ValueError: for a number that is neither a share nor a count of the data, and for training data without labels.

    >>> from pyro_mixvae.data import load
    >>> int((few_labels(load("digits"), 0.4).train.y >= 0).sum())
    575
    >>> int((few_labels(load("digits"), 50).train.y >= 0).sum())
    50
    """
    count = share > 1 and share == int(share)
    if not (0 <= share <= 1 or (count and share <= len(data.train))):
        raise ValueError(f"labelled: got {share:g}; allowed are shares in [0, 1] and counts in 2..{len(data.train)}")
    if share == 1:
        return data
    x, y = data.train.x, data.train.y
    if y is None:
        raise ValueError(f"labelled: {data.name} has no labels to hide")
    order = torch.randperm(len(y), generator=generator(seed, len(y)))
    hidden = order[int(share) if count else round(share * len(y)) :]
    y = y.clone()
    y[hidden] = -1
    return dataclasses.replace(data, train=dataclasses.replace(data.train, x=x, y=y))
