"""Batches of partly labelled data, each with a share of labelled ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .batches import Batches
from .seeds import generator

_UNLABELLED, _LABELLED = 2, 3


class LabelledBatches(Batches):
    """Batches of which each holds as many labelled data; an epoch goes once through those without a label.

    The first ``labelled`` rows of a batch have a label, the others none. The labelled data are gone through again and
    again, in a new order each time. ``balanced``, each batch has the classes equally often (in turn, where they do not
    divide the rows); of yes-or-no labels ``[N, L]`` batch number t has as many data with a yes as with a no to label
    t mod L, those with one answer only left out, so that the larger group is seen less often than it occurs.

    Like :class:`Batches`, an epoch is a function of (seed, epoch) alone, and under data-parallel training all processes
    together see what one process with the joint batch would.

    Args:
        data, seed, transform, device, dtype, rank, world_size: as for :class:`Batches`.
        batch_size: data in a batch of this process, labelled and unlabelled.
        labelled: how many of them have a label, in 1..batch_size-1.
        balanced: draw them by label.

    Raises:
        ValueError: for arguments outside their range, and for data without labelled or without unlabelled ones.

    Source:
        Tran, Pantic, Deisenroth, *Cauchy-Schwarz Regularized Autoencoder*, appendix B.2.

    >>> y = torch.tensor([0, 1, -1, -1, -1])
    >>> batches = LabelledBatches((torch.zeros(5, 2), y), batch_size=3, labelled=2, balanced=True)
    >>> [labels[2:].tolist() for x, labels in batches]
    [[-1], [-1], [-1]]
    """

    def __init__(self, data: Any, batch_size: int, labelled: int, balanced: bool = False, **options: Any) -> None:
        super().__init__(data, batch_size, shuffle=True, **options)
        if not 1 <= labelled < batch_size:
            raise ValueError(f"labelled: got {labelled}; allowed are 1..{batch_size - 1} of batches of {batch_size}")
        if self.y is None:
            raise ValueError("labelled: the data have no labels")
        self.labelled, self.balanced = labelled, balanced
        y = self.y.cpu()
        known = (y >= 0) if y.dim() == 1 else (y >= 0).any(-1)
        self.with_label, self.without = known.nonzero().squeeze(-1), (~known).nonzero().squeeze(-1)
        for kind, rows in {"labelled": self.with_label, "unlabelled": self.without}.items():
            if not len(rows):
                raise ValueError(
                    f"labelled: {labelled} data of a batch are to have a label, but there are no {kind} data"
                )
        self.groups = _groups(y, self.with_label) if balanced else [[self.with_label]]
        self._labelled_rows = torch.empty(0, dtype=torch.int64)

    def __len__(self) -> int:
        joint = (self.batch_size - self.labelled) * self.world_size
        return len(self.without) // joint if self.drop_last else -(-len(self.without) // joint)

    def _order(self) -> Tensor:
        self._labelled_rows = self._draw_labelled()
        noise = generator(self.seed, self.epoch, _UNLABELLED)
        return self.without[torch.randperm(len(self.without), generator=noise)]

    def _draw_labelled(self) -> Tensor:
        """The labelled rows of every joint batch of the epoch: [batches, world_size * labelled]."""
        noise = generator(self.seed, self.epoch, _LABELLED)
        wanted = self.labelled * self.world_size
        streams = [[_Stream(rows, noise) for rows in groups] for groups in self.groups]
        batches, turn = [], 0
        for number in range(len(self)):
            groups = streams[number % len(streams)]
            counts = [wanted // len(groups)] * len(groups)
            for extra in range(wanted % len(groups)):
                counts[(turn + extra) % len(groups)] += 1
            turn += wanted % len(groups)
            rows = torch.cat([stream.take(count) for stream, count in zip(groups, counts, strict=True)])
            batches.append(rows[torch.randperm(wanted, generator=noise)])
        return torch.stack(batches)

    def _rows(self, order: Tensor, number: int) -> Tensor:
        joint = (self.batch_size - self.labelled) * self.world_size
        rows = order[number * joint : (number + 1) * joint]
        if missing := -len(rows) % self.world_size:
            rows = torch.cat([rows, order.repeat(-(-missing // len(order)))[:missing]])
        share, own = len(rows) // self.world_size, self._labelled_rows[number].to(order.device)
        labelled = own[self.rank * self.labelled : (self.rank + 1) * self.labelled]
        return torch.cat([labelled, rows[self.rank * share : (self.rank + 1) * share]])


class _Stream:
    """Rows in a random order, and again in another when all have been taken."""

    def __init__(self, rows: Tensor, noise: torch.Generator) -> None:
        self.rows, self.noise = rows, noise
        self.left = rows[:0]

    def take(self, count: int) -> Tensor:
        while len(self.left) < count:
            again = self.rows[torch.randperm(len(self.rows), generator=self.noise)]
            self.left = torch.cat([self.left, again])
        taken, self.left = self.left[:count], self.left[count:]
        return taken


def _groups(y: Tensor, rows: Tensor) -> list[list[Tensor]]:
    """The groups that batches take equally from: one list for all batches, or one for each yes-or-no label."""
    if y.dim() == 1:
        return [[rows[y[rows] == label] for label in y[rows].unique()]]
    pairs = [[rows[y[rows, label] == answer] for answer in (0, 1)] for label in range(y.shape[1])]
    both = [pair for pair in pairs if all(len(group) for group in pair)]
    if not both:
        raise ValueError("balanced: there is no label that some data answer with yes and others with no")
    return both
