"""Precision of what is computed of the networks' outputs."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor


def own_precision(of: Tensor) -> AbstractContextManager[None]:
    """Matrix products in the precision of their arguments, whatever ``torch.autocast`` is around.

    Networks may compute with numbers of 8 bits; sums of probabilities, which logarithms and differences are taken of,
    may not.

    Args:
        of: a tensor on the device that is meant.

    >>> with torch.autocast("cpu", torch.bfloat16), own_precision(torch.zeros(1)):
    ...     (torch.full((1, 1), 1.001) @ torch.ones(1, 1)).item()
    1.001...
    """
    return torch.autocast(of.device.type, enabled=False)
