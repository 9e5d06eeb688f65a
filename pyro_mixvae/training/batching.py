"""From what a user calls data to what the trainer asks for."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from pyro_mixvae.data import Batches, DataSet, LabelledBatches, Split


class InMemoryData(LightningDataModule):
    """Permuted slices of data in memory, on the device that trains.

    Args:
        data: training data, and validation data where there are any.
        batch_size: data in a batch of one process.
        seed: of the order and of the noise of dynamic binarisation.
        dtype: floating-point type of the batches, the model's.
        labelled_per_batch: how many of a training batch have a label; None: as it comes.
        balanced: draw those by label, see :class:`~pyro_mixvae.data.LabelledBatches`.
    """

    def __init__(
        self,
        data: DataSet,
        batch_size: int,
        seed: int,
        dtype: torch.dtype,
        labelled_per_batch: int | None = None,
        balanced: bool = False,
    ) -> None:
        super().__init__()
        self.data, self.batch_size, self.seed, self.dtype = data, batch_size, seed, dtype
        self.labelled_per_batch, self.balanced = labelled_per_batch, balanced
        if balanced and labelled_per_batch is None:
            raise ValueError("balanced: needs labelled_per_batch, the labelled data of a batch that are balanced")
        if labelled_per_batch is not None:
            # refuses what cannot be drawn before any work
            LabelledBatches(data.train, batch_size, labelled_per_batch, balanced)

    def setup(self, stage: str) -> None:
        # each process may have drawn a seed of its own
        assert self.trainer is not None
        self.seed = self.trainer.strategy.broadcast(self.seed)

    def train_dataloader(self) -> Batches:
        return self._batches(self.data.train, training=True)

    def val_dataloader(self) -> Batches | list[Any]:
        return [] if self.data.validation is None else self._batches(self.data.validation, training=False)

    def _batches(self, split: Split, training: bool) -> Batches:
        assert self.trainer is not None
        options: dict[str, Any] = {
            "seed": self.seed,
            "transform": self.data.transform if training else None,
            "device": self.trainer.strategy.root_device,
            "dtype": self.dtype,
            "rank": self.trainer.global_rank,
            "world_size": self.trainer.world_size,
        }
        if training and self.labelled_per_batch is not None:
            return LabelledBatches(split, self.batch_size, self.labelled_per_batch, self.balanced, **options)
        return Batches(split, self.batch_size, shuffle=training, **options)


def as_data_set(data: Tensor | tuple[Tensor, ...] | DataSet) -> DataSet:
    """A tensor [N, \\*event_shape], or (x, y) with labels [N], as a data set without validation part.

    Raises:
        ValueError: for anything else.
    """
    if isinstance(data, DataSet):
        return data
    parts: Any = data if isinstance(data, tuple | list) else (data,)
    if any(hasattr(part, "__array__") and not isinstance(part, Tensor) for part in parts):
        kinds = ", ".join(dict.fromkeys(type(part).__name__ for part in parts))
        raise ValueError(f"data: expected tensors, got {kinds}; torch.from_numpy makes a tensor of an array")
    if not 1 <= len(parts) <= 2 or not all(isinstance(part, Tensor) for part in parts):
        raise ValueError(
            f"data: expected a tensor, (x, y), a DataSet or a LightningDataModule, got {type(data).__name__}"
        )
    split = Split(*parts)
    classes = None if split.y is None else max(int(split.y.max()) + 1, 1)
    names = tuple(map(str, range(classes or 0)))
    return DataSet("data", split, None, None, classes, names, source="given to fit")
