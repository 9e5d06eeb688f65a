"""Warm-up of a divergence's weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real


def linear_weight(step: int, num_steps: int, start: float = 0.0, end: float = 1.0) -> float:
    """The weight at a step: a straight line from ``start`` at step 0 to ``end`` at ``num_steps``, then constant.

    >>> [linear_weight(step, 4) for step in range(6)]
    [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    """
    if step >= num_steps:
        return end
    return start + (end - start) * step / num_steps


@dataclass(frozen=True)
class LinearWarmup:
    """Multiply divergences by a weight that moves linearly in the first part of a training.

    The length is given in epochs or in steps of the optimiser and is never longer than the training itself.

    Args:
        epochs: length in epochs.
        steps: length in steps; give one of the two.
        sites: the sites whose divergence is weighted; None: all latent sites that the objective names.
        start: weight at the first step.
        end: weight from the end of the warm-up on.

    Raises:
        ValueError: unless exactly one length is given and it and the weights are not negative.
    """

    epochs: float | None = None
    steps: int | None = None
    sites: Sequence[str] | None = None
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(f"warmup: give epochs or steps, got epochs={self.epochs}, steps={self.steps}")
        for name in ("epochs", "steps", "start", "end"):
            value = getattr(self, name)
            kind, text = (Integral, "an integer") if name == "steps" else (Real, "a finite number")
            if value is not None and not (isinstance(value, kind) and 0 <= float(value) < float("inf")):
                raise ValueError(f"warmup.{name}: expected {text} >= 0, got {value!r}")
        if isinstance(self.sites, str):
            raise ValueError(f"warmup.sites: expected a list of names, got {self.sites!r}")

    def num_steps(self, steps_per_epoch: int, total_steps: int | None = None) -> int:
        """Length in steps, never longer than the training."""
        length = self.steps if self.steps is not None else round((self.epochs or 0) * steps_per_epoch)
        return length if total_steps is None else min(length, total_steps)

    def weight(self, step: int, num_steps: int) -> float:
        """The weight at a step of a warm-up that takes ``num_steps``."""
        return linear_weight(step, num_steps, self.start, self.end)
