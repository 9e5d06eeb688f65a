"""Sums over the processes of data-parallel training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch import distributed as processes
from torch.distributed import _functional_collectives as collectives


def sum_over_processes(total: Tensor) -> Tensor:
    """The sum of a tensor over all processes, differentiably; the tensor itself where there is one process.

    Each process's loss holds the sum, and the gradient that flows back is summed too: data-parallel training, which
    averages the processes' gradients, so ends with the gradient of the joint batch. Nothing is summed while gradients
    are off: what is looked at between steps need not be looked at by all processes at the same time.
    """
    if not torch.is_grad_enabled() or number_of_processes() == 1:
        return total
    return _Sum.apply(total)


def average_over_processes(gradients: Iterable[Tensor]) -> None:
    """Replace gradients by their means over all processes, in place; nothing where there is one process."""
    if (number := number_of_processes()) > 1:
        for gradient in gradients:
            processes.all_reduce(gradient)
            gradient /= number


def number_of_processes() -> int:
    """How many processes train together; 1 without :mod:`torch.distributed`."""
    return processes.get_world_size() if processes.is_available() and processes.is_initialized() else 1


class _Sum(torch.autograd.Function):
    """The sum over all processes, of the values and of the gradients alike."""

    @staticmethod
    def forward(ctx: Any, total: Tensor) -> Tensor:
        return _summed(total)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient)


def _summed(tensor: Tensor) -> Tensor:
    # in the form that torch.compile can take into its graph
    group = processes.group.WORLD
    assert group is not None
    return collectives.wait_tensor(collectives.all_reduce(tensor.contiguous(), "sum", group))
