"""What a training has measured at each epoch's end, in little memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

#: The state of a history is so many bytes long, or twice as many, and so on.
BLOCK = 2**16
#: Numbers of a kind that there is room for at first.
ROOM = 2**14


class History:
    """Rows of numbers by name, one for each epoch.

    A training of a hundred thousand epochs keeps all its rows. As a dictionary each takes about a kilobyte, here eight
    bytes for each number.

    Args:
        rows: of earlier epochs.

    >>> history = History([{"epoch": 0, "loss": 2.0}])
    >>> history.append({"epoch": 1, "loss": 1.5, "validation": 1.75})
    >>> list(history)
    [{'epoch': 0, 'loss': 2.0}, {'epoch': 1, 'loss': 1.5, 'validation': 1.75}]
    """

    def __init__(self, rows: Iterable[Mapping[str, float]] = ()) -> None:
        #: the different sets of names that rows have, for each row which it has, and the numbers of all rows
        self._names: list[tuple[str, ...]] = []
        self._which, self._numbers = _Numbers(np.uint32), _Numbers(np.float64)
        for row in rows:
            self.append(row)

    def append(self, row: Mapping[str, float]) -> None:
        """Take in one epoch's numbers."""
        names = tuple(row)
        if names not in self._names:
            self._names.append(names)
        self._which.extend([self._names.index(names)])
        self._numbers.extend(list(row.values()))

    def state(self) -> Tensor:
        """All rows as a checkpoint holds them, uint8: a line of names, the numbers as they lie in memory, and zeros.

        It is a whole number of blocks long: memory of the same size is asked for epoch after epoch, and what one
        checkpoint gives back the next can have.
        """
        numbers = self._numbers.seen()
        head = json.dumps({"names": self._names, "rows": len(self), "numbers": len(numbers)}).encode() + b"\n"
        parts = [memoryview(head), self._which.seen().view(np.uint8).data, numbers.view(np.uint8).data]
        length = sum(map(len, parts))
        content, start = bytearray(length + -length % BLOCK), 0
        for part in parts:
            content[start : start + len(part)] = part
            start += len(part)
        return torch.frombuffer(content, dtype=torch.uint8)

    @classmethod
    def of_state(cls, state: Tensor) -> Self:
        """The history with that :meth:`state`."""
        head, _, content = state.cpu().numpy().tobytes().partition(b"\n")
        history, found = cls(), json.loads(head)
        history._names = [tuple(map(sys.intern, names)) for names in found["names"]]
        which = np.frombuffer(content, np.uint32, found["rows"])
        history._which.extend(which)
        history._numbers.extend(np.frombuffer(content, np.float64, found["numbers"], which.nbytes))
        return history

    def last(self) -> dict[str, float]:
        """The newest row.

        Raises:
            ValueError: where there is none.
        """
        if not len(self):
            raise ValueError("history: there is no complete epoch yet")
        names = self._names[self._which.seen()[-1]]
        return self._row(names, self._numbers.seen()[-len(names) :])

    def __len__(self) -> int:
        return len(self._which.seen())

    def __iter__(self) -> Iterator[dict[str, float]]:
        start, numbers = 0, self._numbers.seen()
        for which in self._which.seen():
            names = self._names[which]
            yield self._row(names, numbers[start : start + len(names)])
            start += len(names)

    @staticmethod
    def _row(names: tuple[str, ...], numbers: NDArray[Any]) -> dict[str, float]:
        pairs = zip(names, numbers.tolist(), strict=True)
        return {name: int(value) if name == "epoch" else value for name, value in pairs}


class _Numbers:
    """Numbers one after the other. Room for more is made by doubling: it is seldom asked for, and written at once,
    so that a process of constant work holds constant memory."""

    def __init__(self, dtype: DTypeLike) -> None:
        self._room, self._taken = np.full(ROOM, 0, dtype), 0

    def extend(self, numbers: Any) -> None:
        end = self._taken + len(numbers)
        if end > len(self._room):
            room = np.full(max(end, 2 * len(self._room)), 0, self._room.dtype)
            room[: self._taken] = self.seen()
            self._room = room
        self._room[self._taken : end] = numbers
        self._taken = end

    def seen(self) -> NDArray[Any]:
        return self._room[: self._taken]
