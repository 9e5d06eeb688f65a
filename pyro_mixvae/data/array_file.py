"""Any array in a ``.npy`` file, also one that is larger than memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .dataset import DataSet
from .files import MissingDataError, check_range
from .splits import blocks, parse_split

_TYPES = (np.uint8, np.float16, np.float32, np.float64)


def load_npy(path: str | Path, labels: str | Path | None = None, split: str | None = None) -> DataSet:
    """An array in a ``.npy`` file, mapped into memory: only the rows that a batch takes are read.

    Args:
        path: the file, an array ``[N, *event_shape]``: ``uint8`` (v stands for v/255) or floating point.
        labels: a ``.npy`` file of N integers, -1 for a missing one.
        split: training, validation and test counts, consecutive rows; by default all rows are trained on.

    Returns:
        The data; classes are numbered 0 to the greatest label.

    Raises:
        MissingDataError: if a file is missing.
        ValueError: if a file is no array, is damaged, or has another type; if a value is not finite; if the
            split asks for more than there is.
    """
    array = _open(path)
    if array.dtype not in _TYPES or not array.dtype.isnative:
        raise ValueError(f"{path}: dtype is {array.dtype}; allowed are uint8 and floating point of 16, 32 or 64 bits")
    if array.ndim < 2 or 0 in array.shape:
        raise ValueError(f"{path}: shape is {array.shape}; allowed is [N, *event_shape], nowhere 0")
    x = torch.from_numpy(array)
    y = None
    if labels is not None:
        numbers = _open(labels)
        if not np.issubdtype(numbers.dtype, np.integer) or numbers.shape != (len(x),):
            raise ValueError(
                f"labels: {labels} holds shape {numbers.shape} of {numbers.dtype}, expected {len(x)} integers"
            )
        check_range(numbers, -1, torch.iinfo(torch.int64).max, labels, "labels")
        y = torch.from_numpy(numbers.astype(np.int64))
        if int(y.max()) < 0:
            raise ValueError(f"labels: {labels} holds -1 only, so no label at all; leave it out")
    counts = (len(x), 0, 0) if split is None else parse_split(split, len(x))
    parts = [part and replace(part, in_file=True) for part in blocks(x, y, counts)]
    train, validation, test = parts
    assert train is not None
    num_classes = None if y is None else int(y.max()) + 1
    return DataSet(
        name=f"npy:{path}",
        train=train,
        validation=validation,
        test=test,
        num_classes=num_classes,
        class_names=tuple(str(number) for number in range(num_classes or 0)),
        source=f"{Path(path).absolute()}, split {split or 'none: all for training'}",
    )


def _open(path: str | Path) -> NDArray[Any]:
    place = Path(path).expanduser()
    if not place.is_file():
        raise MissingDataError(f"npy: looked for {place.absolute()}; no such file")
    try:
        if not _begins_as_npy(place):
            raise ValueError("it does not begin like one; numpy.save makes one")
        return np.load(place, mmap_mode="c", allow_pickle=False)  # copy on write: the file is never changed
    except Exception as error:  # a damaged header is a Python literal, which provokes what it likes
        raise ValueError(f"{place}: not a readable .npy file ({_safe(str(error))})") from None


def _begins_as_npy(place: Path) -> bool:
    magic: bytes = np.lib.format.MAGIC_PREFIX
    with place.open("rb") as file:
        return file.read(len(magic)) == magic


def _safe(reason: str) -> str:
    """NumPy's reason, but never its advice to let a file run code."""
    if "Python objects" in reason:
        return "it holds Python objects, not numbers"
    return "its header is damaged" if "pickle" in reason else reason
