"""Checks of data at the boundary of the package: done once, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

_CHUNK_VALUES = 2**24
"""How many values are looked at together, so that an array larger than memory can be checked."""


def check_data(
    x: Tensor,
    *,
    event_shape: Sequence[int] | None = None,
    low: float | None = None,
    high: float | None = None,
    name: str = "data",
) -> None:
    """Refuse data that no objective can make sense of, in words that say what is wrong.

    Args:
        x: the data, ``[N, *event_shape]``, floating point or ``uint8``. A ``uint8`` value v stands for v/255
            here as everywhere in the package.
        event_shape: the shape that one datum must have; ``None`` accepts any.
        low: the smallest value allowed; ``None`` for no limit.
        high: the largest value allowed; ``None`` for no limit.
        name: what the message calls the data.

    Raises:
        ValueError: if ``x`` is no tensor of these types, is empty, has another shape, or holds a value that
            is not finite or lies outside ``[low, high]``.

    >>> check_data(torch.tensor([[0.0, 0.5], [1.0, 2.0]]), low=0, high=1)
    Traceback (most recent call last):
    ValueError: data: 1 of 4 values outside [0, 1], the first at index (1, 1): 2.0
    """
    if not isinstance(x, Tensor):
        raise ValueError(f"{name}: expected a tensor, got {type(x).__name__}")
    if x.dtype != torch.uint8 and not x.is_floating_point():
        raise ValueError(f"{name}: dtype is {x.dtype}; allowed are floating point and uint8 (for v/255)")
    if x.dim() == 0 or x.numel() == 0:
        raise ValueError(f"{name}: holds no data (its shape is {tuple(x.shape)})")
    if event_shape is not None and tuple(x.shape[1:]) != tuple(event_shape):
        raise ValueError(
            f"{name}: one datum has shape {tuple(x.shape[1:])}, expected {tuple(event_shape)} "
            f"(the data have shape {tuple(x.shape)})"
        )
    if x.is_floating_point():
        _refuse_where(lambda values: ~values.isfinite(), x, name, "not finite")
    lowest = -torch.inf if low is None else low
    highest = torch.inf if high is None else high
    if x.is_floating_point() or lowest > 0 or highest < 1:
        what = f"outside [{lowest:g}, {highest:g}]"
        _refuse_where(lambda values: (values < lowest) | (values > highest), x, name, what)


def check_labels(y: Tensor, num_data: int, num_classes: int | None = None, name: str = "labels") -> None:
    """Refuse labels that do not belong to the data.

    Args:
        y: integer labels, ``[N]``, or ``[N, L]`` for L labels of each datum; -1 stands for a missing label.
        num_data: N.
        num_classes: C; labels must lie in -1..C-1. ``None`` sets no upper limit.
        name: what the message calls the labels.

    Raises:
        ValueError: if ``y`` is not a tensor of N integers in that range.

    >>> check_labels(torch.tensor([0, -1, 3]), num_data=3, num_classes=3)
    Traceback (most recent call last):
    ValueError: labels: 1 of 3 outside -1..2 (-1 stands for a missing label), the first at index 2: 3
    """
    if not isinstance(y, Tensor):
        raise ValueError(f"{name}: expected a tensor, got {type(y).__name__}")
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise ValueError(f"{name}: dtype is {y.dtype}; allowed are integers")
    if y.shape[:1] != (num_data,) or y.dim() > 2:
        raise ValueError(f"{name}: shape is {tuple(y.shape)}, expected one label per datum, ({num_data},)")
    highest = torch.iinfo(torch.int64).max if num_classes is None else num_classes - 1
    values = y.long()
    wrong = ((values < -1) | (values > highest)).nonzero()
    if len(wrong):
        first = int(wrong[0])
        allowed = "allowed, at least -1" if num_classes is None else f"-1..{highest}"
        raise ValueError(
            f"{name}: {len(wrong)} of {num_data} outside {allowed} (-1 stands for a missing label), "
            f"the first at index {first}: {int(values[tuple(wrong[0].tolist())])}"
        )


def _refuse_where(wrong: Callable[[Tensor], Tensor], x: Tensor, name: str, what: str) -> None:
    count, value = 0, 0.0
    first: tuple[int, ...] = ()
    rows = max(1, _CHUNK_VALUES // x[0].numel())
    for start in range(0, len(x), rows):
        chunk = x[start : start + rows]
        values = chunk / 255 if chunk.dtype == torch.uint8 else chunk
        found = wrong(values)
        if not count and found.any():
            index = found.nonzero()[0].tolist()
            value = float(values[tuple(index)])
            first = (start + index[0], *index[1:])
        count += int(found.sum())
    if count:
        raise ValueError(f"{name}: {count} of {x.numel()} values {what}, the first at index {first}: {value}")
