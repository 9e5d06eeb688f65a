"""Whether half precision saves time on this processor."""

from __future__ import annotations

import time
import warnings
from functools import cache

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.accelerators import CPUAccelerator


@cache
def bfloat16_slowdown() -> float:
    """How many times as long as in single precision a product of two matrices takes in bfloat16, in torch's threads.

    Measured, in some tenths of a second, because no processor's list of features tells: some have none and take fifty
    times as long, some convert and take twice as long, those with arithmetic of their own take half as long or less.
    """
    fastest = {}
    for dtype in (torch.float32, torch.bfloat16):
        left, right = torch.ones(64, 512, dtype=dtype), torch.ones(512, 512, dtype=dtype)
        fastest[dtype] = min(_seconds(left, right) for _ in range(4))
    return fastest[torch.bfloat16] / fastest[torch.float32]


def _seconds(left: torch.Tensor, right: torch.Tensor) -> float:
    start = time.perf_counter()
    left @ right
    return time.perf_counter() - start


def warn_of_slow_bfloat16(trainer: Trainer) -> None:
    """Warn where networks would compute in bfloat16 on a processor that takes longer for it than single precision."""
    if "bf16" not in str(trainer.precision) or not isinstance(trainer.accelerator, CPUAccelerator):
        return
    if (slowdown := bfloat16_slowdown()) > 1.5:
        warnings.warn(
            f"precision: {trainer.precision} saves no time on this processor, which takes {slowdown:.1f} times as long "
            "for a product of matrices in bfloat16 as in single precision; precision='32-true' is faster",
            stacklevel=3,
        )
