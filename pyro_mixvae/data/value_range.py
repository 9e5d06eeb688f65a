"""Data in another range of values than [0, 1]."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from .dataset import DataSet, Split


def ranged(data: DataSet, value_range: Sequence[float]) -> DataSet:
    """A data set with the same pictures in another range of values: black is ``low``, white is ``high``.

    ``uint8`` data stay what they are in memory and are brought to the range batch by batch; floating point data are
    moved there at once.

    Args:
        data: in the range that its parts name, [0, 1] unless they were moved.
        value_range: ``(low, high)``, for instance ``(-1, 1)``.

    Raises:
        ValueError: unless ``low`` < ``high``, both finite; for a transform that needs the old range.

    >>> from pyro_mixvae.data import load
    >>> digits = ranged(load("digits"), (-1, 1))
    >>> digits.train.x.min(), digits.value_range
    (tensor(-1.), (-1.0, 1.0))
    """
    if len(value_range) != 2 or not -math.inf < value_range[0] < value_range[1] < math.inf:
        raise ValueError(f"value_range: got {value_range!r}; allowed is [low, high], finite numbers with low < high")
    low, high = (float(value) for value in value_range)
    if (low, high) == data.value_range:
        return data
    if data.transform is not None:
        raise ValueError(f"value_range: {data.name} has a transform that takes values in {data.value_range}")
    parts: dict[str, Any] = {name: _moved(split, low, high) for name, split in data.parts().items()}
    return dataclasses.replace(data, **parts)


def _moved(split: Split, low: float, high: float) -> Split:
    if not split.x.is_floating_point():
        return dataclasses.replace(split, value_range=(low, high))
    old_low, old_high = split.value_range
    unit = (split.x - old_low) / (old_high - old_low)
    return Split(low + (high - low) * unit, split.y, (low, high))
