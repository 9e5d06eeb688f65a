"""What is learned of a prior, or stays as it starts."""

from __future__ import annotations

from torch import Tensor, nn


def keep(module: nn.Module, name: str, start: Tensor, learned: bool) -> None:
    """Hold a tensor under a name: a parameter if it is learned, else a buffer."""
    if learned:
        module.register_parameter(name, nn.Parameter(start))
    else:
        module.register_buffer(name, start)
