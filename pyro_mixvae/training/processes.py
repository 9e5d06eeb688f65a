"""What the processes of data-parallel training do together, and what the first of them does alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn
from torch import distributed as processes

from pyro_mixvae.data.seeds import generator
from pyro_mixvae.infer.processes import number_of_processes

#: The prime entropy of the random streams of processes other than the first.
NEW_PROCESS = 2


def is_first_process() -> bool:
    """Whether this is the process that writes files and speaks to the user; known before training starts."""
    return not getattr(rank_zero_only, "rank", 0)


def check_strategy(trainer: Trainer) -> None:
    """Refuse ways of sharing work under which the gradients cannot be added up here.

    Raises:
        ValueError: for several devices with another strategy than ``"ddp"`` and its kin.
    """
    if trainer.world_size > 1 and not isinstance(trainer.strategy, DDPStrategy):
        raise ValueError(
            f"strategy: fit trains in several processes with 'ddp', 'ddp_spawn', 'ddp_fork' or 'ddp_notebook', got "
            f"{type(trainer.strategy).__name__}"
        )


def own_random_stream(module: LightningModule, seed: int) -> None:
    """Every process but the first, which keeps the caller's, draws noise from a stream of its own."""
    if module.global_rank:
        torch.manual_seed(generator(NEW_PROCESS, seed, module.current_epoch, module.global_rank).initial_seed())


@contextmanager
def gradients_kept_apart(trainer: Trainer) -> Iterator[None]:
    """Keep DistributedDataParallel from averaging gradients; :func:`share_gradients` adds them up instead.

    Its average is that of processes, not of data, needs every parameter in every backward pass, and knows one
    backward pass for a step, where an adversary has two.
    """
    if trainer.world_size == 1:
        yield
    else:
        with trainer.strategy.model.no_sync():  # type: ignore[union-attr, operator]
            yield


def share_gradients(parameters: Iterable[nn.Parameter], num_data: int) -> None:
    r"""Replace gradients summed over this process's data by the mean over the data of all processes.

    .. math:: g = \frac{\sum_r g_r}{\sum_r n_r}

    A parameter that has a gradient in some processes counts as 0 in the others; one that has none anywhere keeps none.

    Args:
        parameters: the same in all processes.
        num_data: :math:`n_r`, how many data this process's gradients are a sum over.
    """
    parameters = list(parameters)
    if number_of_processes() == 1:
        gradients = [p.grad for p in parameters if p.grad is not None]
        if num_data > 1 and gradients:
            torch._foreach_div_(gradients, float(num_data))
        return
    like = parameters[0]
    facts = like.new_tensor([num_data, *(p.grad is not None for p in parameters)], dtype=torch.float64)
    processes.all_reduce(facts)
    total, *owners = facts.tolist()
    moved = [p for p, number in zip(parameters, owners, strict=True) if number]
    for dtype in dict.fromkeys(p.dtype for p in moved):
        alike = [p for p in moved if p.dtype == dtype]
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in alike])
        processes.all_reduce(flat)
        flat /= total
        for p, part in zip(alike, flat.split([p.numel() for p in alike]), strict=True):
            p.grad = part.view_as(p)


def share_buffers(model: nn.Module) -> None:
    """Give all processes the first one's buffers, such as the running statistics of batch normalisation."""
    if number_of_processes() > 1:
        for buffer in model.buffers():
            processes.broadcast(buffer, 0)


def any_process(flag: bool, like: Tensor) -> bool:
    """Whether the flag is set in any process."""
    if number_of_processes() == 1:
        return flag
    total = like.new_full((), float(flag), dtype=torch.float32)
    processes.all_reduce(total)
    return bool(total.item())


def wait_for_all() -> None:
    """Go on when all processes have come this far."""
    if number_of_processes() > 1:
        processes.barrier()


def from_all_processes(state: Tensor) -> list[Tensor]:
    """A tensor of each process, on the CPU, in the order of their ranks."""
    if number_of_processes() == 1:
        return [state.cpu()]
    states = [torch.empty_like(state) for _ in range(number_of_processes())]
    processes.all_gather(states, state)
    return [each.cpu() for each in states]
