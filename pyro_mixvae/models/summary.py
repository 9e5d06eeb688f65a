"""A model in a line, and in a short table."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn


def in_a_line(model: nn.Module, settings: Mapping[str, Any]) -> str:
    """The class with those of its settings that are not the defaults.

    Args:
        model: the model.
        settings: the constructor's arguments.
    """
    parameters = inspect.signature(type(model).__init__).parameters
    own = [f"{name}={value!r}" for name, value in settings.items() if _as_given(value) != parameters[name].default]
    return f"{type(model).__name__}({', '.join(own)})"


def in_a_table(model: nn.Module, settings: Mapping[str, Any]) -> str:
    """The model's line, then a row for each of its parts: its class, and how many numbers are trained and kept.

    Kept are those that no gradient moves: batch norm's statistics, or a posterior that natural gradients move.
    """
    rows = [("part", "class", "trained", "kept")]
    for name, part in model.named_children():
        rows.append((name, type(part).__name__, *_counts(part)))
    rows.append(("in all", "", *_counts(model)))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        f"{part:<{widths[0]}}  {kind:<{widths[1]}}  {trained:>{widths[2]}}  {kept:>{widths[3]}}".rstrip()
        for part, kind, trained, kept in rows
    ]
    return "\n".join([in_a_line(model, settings), "", *lines])


def _counts(part: nn.Module) -> tuple[str, str]:
    trained = sum(parameter.numel() for parameter in part.parameters())
    return f"{trained:,}", f"{sum(buffer.numel() for buffer in part.buffers()):,}"


def _as_given(value: Any) -> Any:
    """A sequence as its default is written."""
    return tuple(value) if isinstance(value, list) else value
