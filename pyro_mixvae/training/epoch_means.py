"""The means of an epoch's numbers over its data."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import torch
from torch import Tensor

from pyro_mixvae.infer.processes import average_over_processes, number_of_processes
from pyro_mixvae.infer.update import Terms
from pyro_mixvae.training.processes import from_all_processes


class EpochMeans:
    """Adds up numbers per datum, batch by batch, and gives their means over the data of all processes.

    Args:
        state: to go on from, one of :meth:`of_all_processes`.
    """

    def __init__(self, state: Mapping[str, tuple[Tensor, int]] | None = None) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        for name, (total, count) in (state or {}).items():
            self._sums[sys.intern(name)], self._counts[sys.intern(name)] = total, count

    def add(self, part: str, values: Terms, num_data: int) -> None:
        """Take in one batch.

        Args:
            part: what the names are preceded by, such as ``"train"``.
            values: 0-d means over the batch, by name.
            num_data: how many data they are means over.
        """
        for name, value in values.items():
            # one string for all epochs, since every row of the history holds it
            key = sys.intern(f"{part}/{name}")
            total = value.detach() * num_data
            self._sums[key] = self._sums[key] + total if key in self._sums else total
            self._counts[key] = self._counts.get(key, 0) + num_data

    def of_all_processes(self) -> list[dict[str, tuple[Tensor, int]]]:
        """Sums and counts by name, for each process; all processes ask together."""
        sums = {name: from_all_processes(total) for name, total in self._sums.items()}
        counts = {
            name: from_all_processes(torch.tensor(self._counts[name]).to(self._sums[name].device)) for name in sums
        }
        return [
            {name: (totals[rank], int(counts[name][rank])) for name, totals in sums.items()}
            for rank in range(number_of_processes())
        ]

    def means(self) -> dict[str, float]:
        """The means so far; all processes ask together."""
        if not self._sums:
            return {}
        sums = torch.stack([value.double() for value in self._sums.values()])
        totals = torch.stack([sums, sums.new_tensor([self._counts[name] for name in self._sums])])
        average_over_processes([totals])
        means: Tensor = totals[0] / totals[1]
        return dict(zip(self._sums, means.tolist(), strict=True))
