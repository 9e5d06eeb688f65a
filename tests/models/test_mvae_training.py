"""The ground holds for the MVAE: its objective compiles, its training resumes bit for bit.

Two processes inside fit: tests/training/test_processes.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from pyro_mixvae.infer import compiled
from pyro_mixvae.models import MVAE
from pyro_mixvae.training import fit

OPTIONS: dict[str, dict[str, Any]] = {
    "fixed": {},
    "gaussian": {"dropout": "gaussian"},
    "gumbel, three particles": {"dropout": "gumbel", "num_particles": 3},
    "rates of their own, labels": {"dropout": "gaussian", "per_component": True, "num_classes": 3},
}


def tiny(**options: Any) -> MVAE:
    settings = {"latent_dim": 2, "num_components": 3, "encoder": {"kind": "mlp", "hidden_dims": [8]}}
    settings |= {"mixed_shape": (7,), "decoder": {"kind": "mlp", "hidden_dims": [8]}}
    return MVAE((6,), **(settings | options))


def assert_compiles(of: dict[str, Any], **how: Any) -> None:
    """One call of each at the same seed: loss, terms and gradients; and a batch too short for dHSIC."""
    torch.manual_seed(0)
    model, batch = tiny(**of).train(), (torch.rand(10, 6), torch.arange(10) % 3)
    eager = model.objective()(model.model, model.guide)
    graph = compiled(eager, **how)
    graph(*batch)
    outcomes = []
    for objective in (eager, graph):
        model.zero_grad()
        torch.manual_seed(3)
        loss = objective(*batch)
        loss.backward()
        gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
        outcomes.append((loss.detach(), dict(objective.last_terms), gradients))
    (loss, terms, gradients), (other_loss, other_terms, other_gradients) = outcomes
    assert graph.num_graphs == 1 and set(terms) == set(other_terms) and "dhsic" in terms
    torch.testing.assert_close(other_loss, loss, rtol=1e-5, atol=0)
    for name in terms:
        torch.testing.assert_close(other_terms[name], terms[name], rtol=1e-5, atol=1e-5)
    for name, gradient in gradients.items():
        assert (other_gradients[name] - gradient).norm() <= 1e-5 * gradient.norm() + 1e-6, name
    model.epoch_metrics()
    graph(batch[0][:4], batch[1][:4])
    assert model.epoch_metrics()["batches_without_dhsic"] >= 1


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if "labels" in name else pytest.mark.slow) for name in OPTIONS]
)
def test_the_captured_objective_is_the_eager_one(name):
    assert_compiles(OPTIONS[name], backend="eager")


@pytest.mark.compile
def test_the_compiled_objective_is_the_eager_one():
    assert_compiles(OPTIONS["gumbel, three particles"], options={"fallback_random": True})


def trained(epochs: int, **options: Any) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    torch.manual_seed(0)
    model, x = tiny(dropout="gaussian", per_component=True), torch.rand(33, 6)
    result = fit(model, x, max_epochs=epochs, batch_size=10, progress=False, **options)
    return model.state_dict(), result.history


def test_a_resumed_training_is_the_same_bit_for_bit(tmp_path: Path):
    straight, history = trained(4, seed=1, out=tmp_path / "straight")
    trained(2, seed=1, out=tmp_path / "stopped")
    resumed, other = trained(4, resume=tmp_path / "stopped")
    assert other == history and history[-1]["batches_without_dhsic"] == 1
    assert all(torch.equal(resumed[name], value) for name, value in straight.items())


def train_in_one_of_two(rank: int, folder: str) -> None:
    """50 steps of data-parallel training, each process with its own data and noise."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    torch.manual_seed(0)
    model = tiny(dropout="gaussian", per_component=True).train()
    parallel = DistributedDataParallel(model.objective()(model.model, model.guide))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    torch.manual_seed(1 + rank)
    drawn = torch.rand(10, 6)
    for _ in range(50):
        optimizer.zero_grad()
        (parallel(drawn) / 10).backward()
        optimizer.step()
    torch.save((model.state_dict(), drawn), f"{folder}/rank{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.distributed
def test_two_processes_end_with_the_same_model(tmp_path: Path):
    torch.multiprocessing.start_processes(train_in_one_of_two, (str(tmp_path),), nprocs=2, start_method="fork")
    (first, data), (second, other_data) = (torch.load(tmp_path / f"rank{rank}.pt") for rank in range(2))
    torch.manual_seed(0)
    start = tiny(dropout="gaussian", per_component=True).state_dict()
    assert not torch.equal(data, other_data)
    for name, value in first.items():
        assert torch.equal(value, second[name]) and not torch.equal(value, start[name])
