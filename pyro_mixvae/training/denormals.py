"""Numbers too small for a processor's full speed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch


def are_flushed() -> bool:
    """Whether numbers below the smallest normal one count as zero in this thread."""
    smallest = torch.finfo(torch.float32).tiny
    return (torch.full((), smallest) / 2).item() == 0


@contextlib.contextmanager
def flushed() -> Iterator[None]:
    """Let numbers below 1.2e-38 (single precision) count as zero, and afterwards as before.

    Where a gradient has become zero, of a unit that no longer fires or a pixel that is black in every image, Adam's
    average of it shrinks by a tenth at each step, and stays at the smallest number there is. Many processors take ten
    times as long for such numbers, which has been half the time of a training.

    It holds for this thread and those that torch starts from now on: threads that have worked before keep their ways.
    """
    for kind in (np.float32, np.float64):
        # numpy before 2.3 warns where its first look at a type's limits finds a zero
        np.finfo(kind)
    before = are_flushed()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
