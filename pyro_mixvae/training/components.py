"""What evaluation asks of a model with components."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def log_responsibilities(model: Any, x: Tensor) -> Tensor:
    """A model's own, which do not tie; or, where a user's model has responsibilities alone, their logarithms: [B, K].

    Args:
        model: a model with ``log_responsibilities`` or ``responsibilities``.
        x: data, [B, \\*event_shape].
    """
    if hasattr(model, "log_responsibilities"):
        return model.log_responsibilities(x)
    return model.responsibilities(x).log()
