"""Two processes make the natural-gradient steps of one process on the joint batches."""

from __future__ import annotations

import os
import tempfile

import pytest
import torch
from torch import multiprocessing

from tests.models.factorial_by_hand import TAME, tiny_factorial

STEPS, BATCH = 50, 12


def model_and_data():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    model = tiny_factorial(labelled=[0], hyperprior=TAME, delay=5.0)
    return model, torch.randn(STEPS, BATCH, 4), torch.randint(-1, 2, (STEPS, BATCH))


def train(rank: int, num_processes: int, folder: str) -> None:
    """The network is fixed; each process takes its rows of every batch, unequally many."""
    torch.set_num_threads(1)
    if num_processes > 1:
        store = torch.distributed.FileStore(os.path.join(folder, "store"), num_processes)
        torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=num_processes)
    model, x, y = model_and_data()
    rows = slice(None) if num_processes == 1 else (slice(0, 8), slice(8, None))[rank]
    for step in range(STEPS):
        model.after_step((x[step, rows], y[step, rows]), step)
    torch.save([posterior.natural for posterior in model.natural_posteriors()], f"{folder}/{num_processes}-{rank}.pt")
    if num_processes > 1:
        torch.distributed.destroy_process_group()


@pytest.mark.distributed
@pytest.mark.usefixtures("float64")
def test_two_processes_are_one():
    with tempfile.TemporaryDirectory() as folder:
        train(0, 1, folder)
        multiprocessing.spawn(train, args=(2, folder), nprocs=2)
        one, first, second = (torch.load(f"{folder}/{name}.pt") for name in ("1-0", "2-0", "2-1"))
    for alone, here, there in zip(one, first, second, strict=True):
        assert torch.equal(here, there)
        torch.testing.assert_close(here, alone, rtol=1e-6, atol=1e-6)
