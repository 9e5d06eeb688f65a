"""Precision of what is computed of the networks' outputs."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

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
    device = of.device.type
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


def as_precise(outputs: Tensor, data: Tensor) -> Tensor:
    """A network's outputs in the type of the data it saw; single precision at least where those are integers.

    >>> as_precise(torch.ones(2, dtype=torch.bfloat16), torch.zeros(3)).dtype
    torch.float32
    """
    floating = data.is_floating_point()
    return outputs.to(data.dtype if floating else torch.promote_types(outputs.dtype, torch.float32))
