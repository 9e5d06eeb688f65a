"""Sums over the processes of data-parallel training."""

from __future__ import annotations

import torch
from torch import Tensor
from torch import distributed as processes
from torch.distributed.nn.functional import all_reduce


def sum_over_processes(total: Tensor) -> Tensor:
    """The sum of a tensor over all processes, differentiably; the tensor itself where there is one process.

    Each process's loss holds the sum, and the gradient that flows back is summed too: data-parallel training, which
    averages the processes' gradients, so ends with the gradient of the joint batch. Nothing is summed while gradients
    are off: what is looked at between steps need not be looked at by all processes at the same time.
    """
    if not torch.is_grad_enabled() or not processes.is_available() or not processes.is_initialized():
        return total
    return all_reduce(total.contiguous()) if processes.get_world_size() > 1 else total
