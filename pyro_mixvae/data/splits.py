"""Cutting data into training, validation and test parts."""

from __future__ import annotations

import torch
from torch import Tensor

from .dataset import Split
from .seeds import generator


def parse_split(split: str, available: int | None = None, name: str = "split") -> tuple[int, int, int]:
    """Read a split written as ``"train/validation/test"``.

    Args:
        split: three counts, for instance ``"45000/5000/10000"``; validation and test may be 0.
        available: how many data there are to be shared out; ``None`` for no limit.
        name: what the message calls it.

    Raises:
        ValueError: if that is not what was given, or asks for more data than there are.

    >>> parse_split("45000/5000/10000")
    (45000, 5000, 10000)
    """
    words = split.split("/") if isinstance(split, str) else []
    if len(words) != 3 or not all(word.strip().isdecimal() for word in words) or int(words[0]) < 1:
        raise ValueError(f"{name}: got {split!r}; allowed is 'train/validation/test', such as '800/100/100'")
    train, validation, test = (int(word) for word in words)
    wanted = train + validation + test
    if available is not None and wanted > available:
        raise ValueError(f"{name}: {split!r} asks for {wanted} data, there are {available}")
    return train, validation, test


def blocks(
    x: Tensor, y: Tensor | None, counts: tuple[int, ...], order: Tensor | None = None
) -> tuple[Split | None, ...]:
    """Consecutive blocks of the data, in their own order or in another.

    Args:
        x: data, ``[N, ...]``.
        y: labels, ``[N]``, or ``None``.
        counts: the size of each block; 0 gives ``None``.
        order: a permutation of the data; ``None`` keeps their order (and copies nothing).
    """
    parts: list[Split | None] = []
    start = 0
    for count in counts:
        rows = slice(start, start + count) if order is None else order[start : start + count]
        parts.append(Split(x[rows], None if y is None else y[rows]) if count else None)
        start += count
    return tuple(parts)


def train_and_validation(x: Tensor, y: Tensor | None, train: int, validation: int) -> tuple[Split, Split | None]:
    """The first ``train`` data and the ``validation`` that follow them."""
    first, second = blocks(x, y, (train, validation))
    assert first is not None
    return first, second


def fixed_order(num_data: int, seed: int = 0) -> Tensor:
    """A permutation of ``num_data`` that is the same everywhere, for splits of our own."""
    return torch.randperm(num_data, generator=generator(seed, num_data))
