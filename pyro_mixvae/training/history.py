"""What a training has measured at each epoch's end, in little memory."""

from __future__ import annotations

import json
import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import Self

import torch
from torch import Tensor

#: The state of a history is so many bytes long, or twice as many, and so on.
BLOCK = 2**16


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
        self._which, self._numbers = array("I"), array("d")
        for row in rows:
            self.append(row)

    def append(self, row: Mapping[str, float]) -> None:
        """Take in one epoch's numbers."""
        names = tuple(row)
        if names not in self._names:
            self._names.append(names)
        self._which.append(self._names.index(names))
        self._numbers.extend(row.values())

    def state(self) -> Tensor:
        """All rows as a checkpoint holds them, uint8: a line of names, the numbers as they lie in memory, and zeros.

        It is a whole number of blocks long: memory of the same size is asked for epoch after epoch, and what one
        checkpoint gives back the next can have.
        """
        head = json.dumps({"names": self._names, "rows": len(self), "numbers": len(self._numbers)}).encode() + b"\n"
        parts = [memoryview(part).cast("B") for part in (head, self._which, self._numbers)]
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
        of_rows = found["rows"] * history._which.itemsize
        history._which.frombytes(content[:of_rows])
        history._numbers.frombytes(content[of_rows : of_rows + found["numbers"] * history._numbers.itemsize])
        return history

    def last(self) -> dict[str, float]:
        """The newest row.

        Raises:
            ValueError: where there is none.
        """
        if not len(self):
            raise ValueError("history: there is no complete epoch yet")
        names = self._names[self._which[-1]]
        return self._row(names, self._numbers[-len(names) :])

    def __len__(self) -> int:
        return len(self._which)

    def __iter__(self) -> Iterator[dict[str, float]]:
        start = 0
        for which in self._which:
            names = self._names[which]
            yield self._row(names, self._numbers[start : start + len(names)])
            start += len(names)

    @staticmethod
    def _row(names: tuple[str, ...], numbers: Iterable[float]) -> dict[str, float]:
        return {name: int(value) if name == "epoch" else value for name, value in zip(names, numbers, strict=True)}
