"""Numbers that a constructor refuses, by name."""

from __future__ import annotations

import math
from typing import Any


def check_sizes(**sizes: int) -> None:
    """Refuse what is not a size.

    Raises:
        ValueError: for a number below 1.
    """
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name}: expected integers >= 1, got {size}")


def check_positive(**numbers: Any) -> None:
    """Refuse what is not a finite number above 0.

    Raises:
        ValueError: for anything else.
    """
    for name, number in numbers.items():
        if isinstance(number, str) or not 0 < number < math.inf:
            raise ValueError(f"{name}: expected a finite number > 0, got {number!r}")
