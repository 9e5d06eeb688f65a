"""What one training step moves, and by the gradient of which loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

Batch = tuple[Tensor, ...]
Terms = dict[str, Tensor]


@dataclass(frozen=True)
class Update:
    """One optimiser's part of a training step.

    A model with several (an adversary, say) defines ``updates()``, which returns a list of them; they are made in
    order, each with an optimiser of its own, and while one is made the other updates' parameters need no gradient.

    Args:
        name: for logs and error messages.
        parameters: what the optimiser moves.
        loss: takes a batch, ``(x,)`` or ``(x, y)``; returns the loss per datum, alone or with a dictionary of its
            terms for the log.
    """

    name: str
    parameters: Sequence[nn.Parameter]
    loss: Callable[[Batch], Tensor | tuple[Tensor, Terms]]

    def loss_and_terms(self, batch: Batch) -> tuple[Tensor, Terms]:
        """The loss per datum (0-d), and its terms by name."""
        result: Any = self.loss(batch)
        return result if isinstance(result, tuple) else (result, {})
