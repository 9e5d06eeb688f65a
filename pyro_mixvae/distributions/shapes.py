"""Shapes of batches."""

from __future__ import annotations

import torch


def broadcast_shape(*shapes: torch.Size) -> torch.Size:
    """``torch.broadcast_shapes``, which takes a tenth of a millisecond, where the shapes are not all one.

    >>> broadcast_shape(torch.Size([3]), torch.Size([]), torch.Size([3]))
    torch.Size([3])
    """
    different = {shape for shape in shapes if shape}
    if len(different) < 2:
        return different.pop() if different else torch.Size()
    return torch.broadcast_shapes(*different)
