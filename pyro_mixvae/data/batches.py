"""Batches of data that lie in memory: permuted slices, without worker processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from .ahead import ahead
from .dataset import Split, Transform, as_float
from .seeds import generator

_ORDER, _NOISE = 0, 1

#: How much of a mapped file is read at a time; up to four times this is held.
AHEAD_BYTES = 2**25


class Batches:
    """An iterable over batches, the same for the same seed and epoch whatever happened before.

    Each iteration is one epoch. The order of the data and the noise of the transform are functions of
    (seed, epoch) alone: a run resumed at epoch e sees what the run without interruption would have seen, and
    the global random state is neither read nor moved. Call :meth:`set_epoch` before each epoch; without it
    every iteration is the same one.

    Data in a mapped file are read by a thread, some megabytes ahead of their use.

    Under data-parallel training all processes share one permutation. A joint batch of
    ``world_size * batch_size`` data is cut into ``world_size`` equal pieces, one for each process, so that
    together they see what one process with the joint batch size would see; the permutation is continued
    from its own beginning where the last joint batch does not divide evenly. The noise of the transform is
    independent between processes.

    Args:
        data: a :class:`Split`, a tensor ``[N, *event_shape]``, or a tuple ``(x,)`` or ``(x, y)``, where
            ``y`` may be ``None``.
        batch_size: number of data in a batch of this process, at least 1.
        shuffle: permute the data anew in each epoch.
        seed: names the order and the noise, not negative.
        transform: called with each batch of floating point data and a generator on the data's device, for
            instance :func:`bernoulli_draw`; must use no other source of randomness.
        drop_last: leave out a last batch that is shorter than the others.
        device: where the batches lie; ``None`` leaves them where the data are.
        resident: move all data to ``device`` once (fastest); ``False`` moves batch by batch, for data
            larger than the device's memory.
        dtype: the floating point type of the batches; ``None`` is PyTorch's default.
        rank: the number of this process, below ``world_size``.
        world_size: how many processes train together.

    Yields:
        ``(x, y)``, or ``(x,)`` where there are no labels: always a tuple. ``x`` is floating point
        (``uint8`` divided by 255, or brought to the split's range), ``[B, *event_shape]``; ``y`` is ``[B]``,
        ``torch.int64``.

    Raises:
        ValueError: for arguments outside these ranges, and where ``drop_last`` would leave nothing.

    >>> batches = Batches(torch.arange(5.0).unsqueeze(-1), batch_size=2, seed=1)
    >>> [len(x) for (x,) in batches]
    [2, 2, 1]
    """

    def __init__(
        self,
        data: Split | Tensor | tuple[Tensor, ...] | tuple[Tensor, Tensor | None],
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
        transform: Transform | None = None,
        drop_last: bool = False,
        device: torch.device | str | None = None,
        resident: bool = True,
        dtype: torch.dtype | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        split = _as_split(data)
        if batch_size < 1:
            raise ValueError(f"batch_size: got {batch_size}; allowed are integers from 1")
        if seed < 0:
            raise ValueError(f"seed: got {seed}; allowed are integers from 0")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank: got {rank} with world_size {world_size}; allowed are 0..world_size-1")
        if drop_last and len(split) < batch_size * world_size:
            raise ValueError(
                f"batch_size: got {batch_size} for each of {world_size} processes, but there are only "
                f"{len(split)} data and drop_last leaves none"
            )
        self.device = split.x.device if device is None else torch.device(device)
        where = self.device if resident else split.x.device
        self.x = split.x.to(where)
        self.y = None if split.y is None else split.y.to(where, torch.int64)
        self.value_range, self.in_file = split.value_range, split.in_file
        self.dtype = torch.get_default_dtype() if dtype is None else dtype
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.transform = transform
        self.drop_last = drop_last
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        #: batches given out by the last iteration, and those that the next is to leave out
        self._given = self._left_out = 0

    def __len__(self) -> int:
        """The number of batches in an epoch, equal in all processes."""
        joint = self.batch_size * self.world_size
        return self.num_data // joint if self.drop_last else -(-self.num_data // joint)

    @property
    def num_data(self) -> int:
        """N, the number of data that all processes see together."""
        return len(self.x)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one datum."""
        return tuple(self.x.shape[1:])

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, counted from 0, that the next iteration goes through.

        Raises:
            ValueError: for a negative epoch.
        """
        if epoch < 0:
            raise ValueError(f"epoch: got {epoch}; allowed are integers from 0")
        self.epoch = epoch

    def state_dict(self) -> dict[str, int]:
        """How many batches of the present epoch have been given out; 0 when it is complete."""
        return {"given": self._given % len(self)}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Let the next iteration begin where the one with that :meth:`state_dict` stood, with the same noise."""
        self._left_out = int(state["given"])

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        left_out, self._left_out = self._left_out, 0
        order = self._order().to(self.x.device)
        noise = generator(self.seed, self.epoch, _NOISE, self.rank, device=self.device)
        for number, (rows, x) in enumerate(self._fetched(order)):
            x = as_float(x.to(self.device), self.dtype, self.value_range)
            if self.transform is not None:
                # also of what is left out: it moves the generator on
                x = self.transform(x, noise)
            if number >= left_out:
                self._given = number + 1
                yield (x,) if self.y is None else (x, self.y[rows].to(self.device))

    def _fetched(self, order: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Each batch's rows and data as they are stored; of a file a thread fetches many batches at a time.

        Batch by batch, waiting for the other thread's turn at Python would take longer than the reading.
        """
        batches = (self._rows(order, number) for number in range(len(self)))
        if not self.in_file:
            yield from ((rows, self.x[rows]) for rows in batches)
            return
        of_batch = self.batch_size * self.x[0].nbytes
        chunks = iter(lambda: list(islice(batches, max(1, AHEAD_BYTES // of_batch))), [])
        for chunk, x in ahead((chunk, self.x[torch.cat(chunk)]) for chunk in chunks):
            yield from zip(chunk, x.split([len(rows) for rows in chunk]), strict=True)

    def _order(self) -> Tensor:
        if not self.shuffle:
            return torch.arange(self.num_data)
        return torch.randperm(self.num_data, generator=generator(self.seed, self.epoch, _ORDER))

    def numbers(self, batch_index: int) -> list[int]:
        """Which data of the data set a batch of the present epoch holds, in its order."""
        return self._rows(self._order(), batch_index).tolist()

    def _rows(self, order: Tensor, number: int) -> Tensor:
        joint = self.batch_size * self.world_size
        rows = order[number * joint : (number + 1) * joint]
        missing = -len(rows) % self.world_size
        if missing:
            rows = torch.cat([rows, order.repeat(-(-missing // len(order)))[:missing]])
        share = len(rows) // self.world_size
        return rows[self.rank * share : (self.rank + 1) * share]


def _as_split(data: Any) -> Split:
    if isinstance(data, Split):
        return data
    if isinstance(data, Tensor):
        return Split(data)
    if isinstance(data, tuple | list) and len(data) in (1, 2) and isinstance(data[0], Tensor):
        return Split(*data)
    raise ValueError(f"data: got {type(data).__name__}; allowed are a Split, a tensor, (x,) and (x, y)")
