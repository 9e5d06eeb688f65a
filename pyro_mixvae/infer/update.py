"""What one training step moves, and by the gradient of which loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

Batch = tuple[Tensor, ...]
Terms = dict[str, Tensor]


@dataclass(frozen=True)
class Update:
    """One optimiser's part of a training step.

    A model with several (an adversary, say) defines ``updates()``, which returns a list of them; they are made in
    order, each with an optimiser of its own. While one is made, its parameters need a gradient and those of the others
    do not; afterwards each is as it was before.

    Args:
        name: for logs and error messages.
        parameters: what the optimiser moves.
        loss: takes a batch, ``(x,)`` or ``(x, y)``; returns the loss per datum, alone or with a dictionary of its
            terms for the log. None: the objective's.
        groups: the parameters in groups as torch's optimisers take them, where some have options of their own, such
            as ``{"params": [...], "lr": 1e-3}``.
        compiles: whether the loss may be compiled: not if it keeps a tensor for another update other than in a buffer.
    """

    name: str
    parameters: Sequence[nn.Parameter]
    loss: Callable[[Batch], Tensor | tuple[Tensor, Terms]] | None = None
    groups: Sequence[Mapping[str, Any]] = ()
    compiles: bool = True

    def loss_and_terms(self, batch: Batch) -> tuple[Tensor, Terms]:
        """The loss per datum (0-d), and its terms by name."""
        if self.loss is None:
            raise ValueError(f"update '{self.name}': has no loss of its own; fit gives it the objective's")
        result: Any = self.loss(batch)
        return result if isinstance(result, tuple) else (result, {})


@contextmanager
def only_moving(update: Update, updates: Sequence[Update]) -> Iterator[None]:
    """While one of a model's several updates is made: gradients for its parameters, none for those of the others."""
    if len(updates) == 1:
        yield
        return
    before = {parameter: parameter.requires_grad for each in updates for parameter in each.parameters}
    try:
        for parameter in before:
            parameter.requires_grad_(False)
        for parameter in update.parameters:
            parameter.requires_grad_(True)
        yield
    finally:
        for parameter, needed in before.items():
            parameter.requires_grad_(needed)
