"""What a data set is: tensors, split into parts, with the little that one has to know about them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .checks import check_data, check_labels

Transform = Callable[[Tensor, torch.Generator], Tensor]
"""What is done to a batch at each visit: takes float data and a random generator, returns float data."""


@dataclass(frozen=True, repr=False)
class Split:
    """One part of a data set.

    Args:
        x: data, ``[N, *event_shape]``, floating point or ``uint8`` (a value v stands for v/255; the division
            waits until the batch, so that images need a quarter of the memory).
        y: labels, ``[N]`` integers in -1..C-1 with -1 for a missing one; ``None`` where there are none.
        value_range: the values of black and white in images, ``(low, high)``: ``uint8`` values v stand for
            ``low + (high - low) v/255``; floating point values are as they are.
        in_file: whether ``x`` is a file mapped into memory, whose rows are better fetched ahead of their use.

    Raises:
        ValueError: if the data are empty or not finite, or there is not one integer label per datum.

    >>> part = Split(torch.zeros(5, 1, 8, 8), torch.arange(5))
    >>> part
    Split(x=<float32 [5, 1, 8, 8]>, y=<int64 [5]>, value_range=(0.0, 1.0))
    >>> len(part), part.event_shape
    (5, (1, 8, 8))
    """

    x: Tensor
    y: Tensor | None = None
    value_range: tuple[float, float] = (0.0, 1.0)
    in_file: bool = False

    def __repr__(self) -> str:
        def shown(tensor: Tensor | None) -> str:
            return "None" if tensor is None else f"<{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}>"

        place = ", in_file=True" if self.in_file else ""
        return f"Split(x={shown(self.x)}, y={shown(self.y)}, value_range={self.value_range}{place})"

    def __post_init__(self) -> None:
        check_data(self.x, name="x")
        if self.y is not None:
            check_labels(self.y, len(self.x), name="y")

    def __len__(self) -> int:
        return len(self.x)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one datum."""
        return tuple(self.x.shape[1:])

    def __getitem__(self, rows: slice) -> Split:
        """Some of the data, with their labels."""
        return Split(self.x[rows], None if self.y is None else self.y[rows], self.value_range, self.in_file)

    def pieces(self, num_values: int = 2**24) -> Iterator[tuple[Tensor, Tensor | None]]:
        """All data as floating point with their labels, so many values at a time: data may be larger than memory."""
        rows = max(1, num_values // self.x[0].numel())
        for start in range(0, len(self), rows):
            part = slice(start, start + rows)
            yield as_float(self.x[part], value_range=self.value_range), None if self.y is None else self.y[part]

    def values(self) -> Tensor:
        """All data of the part as floating point, ``[N, *event_shape]``: ``uint8`` brought to the value range."""
        return as_float(self.x, value_range=self.value_range)


@dataclass(frozen=True)
class DataSet:
    """A data set in its parts.

    Args:
        name: what :func:`pyro_mixvae.data.load` calls it.
        train: the data that are trained on.
        validation: the data that choices are made on, or ``None``.
        test: the data that results are reported on, or ``None``.
        num_classes: C, or ``None`` without labels.
        class_names: C names, empty without labels; where none are given, their numbers.
        source: one sentence: where the data come from and how they were split.
        transform: what is done to each training batch, for instance dynamic binarisation; handed to
            :class:`pyro_mixvae.data.Batches`.
        label_names: of L labels for each datum, their names; empty where there is one or they have none.

    Raises:
        ValueError: if the parts do not fit together: data of different shapes or ranges, labels outside
            -1..C-1, or another number of class names than classes.
    """

    name: str
    train: Split
    validation: Split | None = None
    test: Split | None = None
    num_classes: int | None = None
    class_names: tuple[str, ...] = ()
    source: str = ""
    transform: Transform | None = None
    label_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = self.num_classes or 0
        if names and not self.class_names:
            object.__setattr__(self, "class_names", tuple(map(str, range(names))))
        if len(self.class_names) != names:
            raise ValueError(f"class_names: got {len(self.class_names)} names for {names} classes")
        for part, split in self.parts().items():
            if split.event_shape != self.event_shape:
                raise ValueError(f"{part}: one datum has shape {split.event_shape}, but {self.event_shape} in train")
            if split.value_range != self.value_range:
                raise ValueError(f"{part}: values in {split.value_range}, but in {self.value_range} in train")
            if split.y is not None:
                if self.num_classes is None:
                    raise ValueError(f"num_classes: None, but {part} has labels")
                check_labels(split.y, len(split), self.num_classes, name=f"{part}.y")

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one datum."""
        return self.train.event_shape

    @property
    def value_range(self) -> tuple[float, float]:
        """The values of black and white in images."""
        return self.train.value_range

    def parts(self) -> dict[str, Split]:
        """The parts that there are, by name: ``train``, then ``validation`` and ``test`` where present."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in named.items() if split is not None}


def as_float(x: Tensor, dtype: torch.dtype | None = None, value_range: tuple[float, float] = (0.0, 1.0)) -> Tensor:
    """Data as the models take them: ``uint8`` divided by 255, other types unchanged in value.

    Args:
        x: data of any shape.
        dtype: the floating point type of the result; ``None`` is PyTorch's default.
        value_range: what the ``uint8`` values 0 and 255 stand for.

    >>> as_float(torch.tensor([0, 51, 255], dtype=torch.uint8))
    tensor([0.0000, 0.2000, 1.0000])
    >>> as_float(torch.tensor([0, 51, 255], dtype=torch.uint8), value_range=(-1, 1))
    tensor([-1.0000, -0.6000,  1.0000])
    """
    values = x.to(torch.get_default_dtype() if dtype is None else dtype)
    if x.dtype != torch.uint8:
        return values
    low, high = value_range
    return values / 255 if (low, high) == (0, 1) else low + (high - low) * (values / 255)
