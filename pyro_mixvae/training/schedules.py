"""Optimisers and learning-rate schedules by name, for recipes and the command line."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler

OPTIMIZERS: dict[str, type[Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}
FUSED = ("adam", "adamw", "sgd")

SCHEDULES: dict[str, Callable[[Optimizer, int], LRScheduler]] = {
    "cosine": lambda optimizer, num_steps: CosineAnnealingLR(optimizer, T_max=num_steps),
    "linear": lambda optimizer, num_steps: LinearLR(optimizer, 1.0, 0.0, total_iters=num_steps),
}

MakeOptimizer = Callable[[Iterable[Any]], Optimizer]
MakeSchedule = Callable[[Optimizer, int], LRScheduler]


def default_optimizer(parameters: Iterable[Any], lr: float) -> Optimizer:
    """Adam in one fused kernel, where the parameters' (or groups of parameters') device has one."""
    parameters = list(parameters)
    every = [p for part in parameters for p in (part["params"] if isinstance(part, Mapping) else [part])]
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in every)
    return torch.optim.Adam(parameters, lr=lr, fused=fused)


def optimizer_by_name(name: str = "adam", **options: Any) -> MakeOptimizer:
    """A function from parameters to their optimiser.

    Args:
        name: ``"adam"``, ``"adamw"``, ``"sgd"`` or ``"rmsprop"``; the first three in one fused kernel.
        options: what the torch optimiser takes, ``lr`` first of all.

    Raises:
        ValueError: for an unknown name, or an option that the optimiser does not take.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer: {_unknown(name, OPTIMIZERS)}")
    if "betas" in options:
        options["betas"] = _pair(options["betas"])
    try:
        OPTIMIZERS[name]([nn.Parameter(torch.zeros(()))], **options)
    except TypeError as error:
        raise ValueError(f"optimizer: {error}") from error
    except ValueError as error:
        raise ValueError(f"optimizer: {error}") from error
    if name in FUSED:
        options.setdefault("fused", True)
    return partial(OPTIMIZERS[name], **options)


def schedule_by_name(schedule: str | MakeSchedule | None) -> MakeSchedule | None:
    """A function from an optimiser and the number of its steps to its schedule; None stays None.

    Args:
        schedule: ``"cosine"`` (to 0 over the whole training), ``"linear"`` (likewise), or such a function.

    Raises:
        ValueError: for an unknown name.
    """
    if schedule is None or callable(schedule):
        return schedule
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule: {_unknown(schedule, SCHEDULES)}")
    return SCHEDULES[schedule]


def _pair(betas: Any) -> tuple[Any, ...]:
    """The decay rates of Adam's two moments, which torch takes apart without looking at their number."""
    if not isinstance(betas, list | tuple) or len(betas) != 2:
        raise ValueError(f"optimizer.betas: expected two numbers in [0, 1), got {betas!r}")
    return tuple(betas)


def _unknown(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(str(name), known, n=1)
    return f"expected one of {', '.join(known)}, got {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")
