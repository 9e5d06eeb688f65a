"""The scale of a kernel, as MMD and dHSIC take it."""

from __future__ import annotations

import math

from torch import Tensor


def check_bandwidth(bandwidth: float | Tensor) -> None:
    """Refuse a number that is no scale; a tensor may be a parameter, whose value is not looked at.

    :param bandwidth: a number > 0, or a tensor.
    :raises ValueError: for a number that is not finite or not positive.
    """
    if not isinstance(bandwidth, Tensor) and not 0 < bandwidth < math.inf:
        raise ValueError(f"bandwidth must be a finite number > 0, got {bandwidth}")
