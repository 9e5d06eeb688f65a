"""What a model does after each step of its optimiser, compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from pyro_mixvae.infer.processes import number_of_processes
from pyro_mixvae.infer.update import Batch

AfterStep = Callable[[Batch, int], Any]


class CompiledStep:
    """Runs ``after_step`` compiled for the kind of batch that first comes twice in a row, and eagerly for others.

    So a short last batch never costs a compilation. With several processes, which speak to each other, it runs eagerly.

    Args:
        after_step: of a model; works on tensors alone and does not read the number of the step.
    """

    def __init__(self, after_step: AfterStep) -> None:
        self.eagerly = after_step
        self.compiled: AfterStep = torch.compile(after_step, dynamic=False)
        self._kind: Any = None
        self._decided = False

    def __call__(self, batch: Batch, step: int) -> None:
        kind = [(value.shape, value.dtype, value.device) for value in batch]
        again = kind == self._kind and number_of_processes() == 1
        self._decided = self._decided or again
        if not self._decided:
            self._kind = kind
        (self.compiled if again else self.eagerly)(batch, step)


def after_step_of(model: Any, compile: bool) -> AfterStep | None:
    """A model's ``after_step``, compiled where that is wished and the model says ``after_step_compiles``."""
    after_step: AfterStep | None = getattr(model, "after_step", None)
    if after_step is None or not (compile and getattr(model, "after_step_compiles", False)):
        return after_step
    return CompiledStep(after_step)
