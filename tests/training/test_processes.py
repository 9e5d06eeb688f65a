"""Several processes: one joint batch, one model, noise and data of each its own, and one that writes."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pyro_mixvae.cli import main
from pyro_mixvae.training.finished_run import open_run
from pyro_mixvae.training.processes import share_gradients
from tests.training.two_processes import train_codes, train_moments

SCRIPT = Path(__file__).with_name("two_processes.py")


def run_script(folder: Path, what: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", str(SCRIPT), str(folder), what],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=SCRIPT.parents[2],
    )


def metrics(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))


def both(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    first, second = (torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    return first, second


def assert_one_model(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Parameters and buffers are identical, and so is what was logged; data and noise are not."""
    assert all(torch.equal(value, second["state"][name]) for name, value in first["state"].items())
    assert first["history"] == second["history"]
    assert not torch.equal(first["noise"], second["noise"])
    assert not torch.equal(first["batch"], second["batch"])


LONGER = ["CSRAE", "GMVAE compiled", "FactorialMixtureVAE", "MVAE"]


@pytest.mark.parametrize("what", ["GMVAE", *(pytest.param(each, marks=pytest.mark.distributed) for each in LONGER)])
def test_parameters_are_identical_after_fifty_steps(tmp_path: Path, what: str):
    done = run_script(tmp_path, what)
    assert done.returncode == 0, done.stderr
    first, second = both(tmp_path)
    assert_one_model(first, second)
    assert len(first["history"]) == 2
    rows = metrics(tmp_path / "run")
    assert [float(row["train/loss"]) for row in rows] == [row["train/loss"] for row in first["history"]]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["checkpoints", "metrics.csv"]


@pytest.mark.distributed
def test_the_minimum_information_constraint_is_that_of_the_joint_batch(tmp_path: Path):
    done = run_script(tmp_path, "free bits")
    assert done.returncode == 0, done.stderr
    first, second = both(tmp_path)
    assert_one_model(first, second | {"noise": first["noise"] + 1})
    alone, result = train_codes(batch_size=12)
    torch.testing.assert_close(first["state"]["w"], alone.w.detach(), rtol=1e-6, atol=0)
    for together, one in zip(first["history"], result.history, strict=True):
        assert together["train/loss"] == pytest.approx(one["train/loss"], rel=1e-6)
    # a floor that each process held up by itself would have given another end
    apart, _ = train_codes(batch_size=6)
    assert abs(apart.w.item() - alone.w.item()) > 1e-2


@pytest.mark.distributed
def test_compiled_moments_are_those_of_the_joint_batch(tmp_path: Path):
    """The sum over the processes is in the graph; warnings, as where something is not compiled, are errors."""
    done = run_script(tmp_path, "moments compiled")
    assert done.returncode == 0, done.stderr
    first, second = both(tmp_path)
    assert_one_model(first, second)
    alone, _ = train_moments(batch_size=12)
    for name, value in alone.encoder.state_dict().items():
        torch.testing.assert_close(first["state"][f"encoder.{name}"], value, rtol=1e-5, atol=1e-6)


@pytest.mark.distributed
def test_without_seed_and_folder_the_first_process_decides(tmp_path: Path):
    done = run_script(tmp_path, "patience")
    assert done.returncode == 0, done.stderr
    first, second = both(tmp_path)
    assert_one_model(first, second)


@pytest.mark.distributed
def test_a_loss_that_is_not_finite_in_one_process_stops_both(tmp_path: Path):
    done = run_script(tmp_path, "not a number")
    assert done.returncode != 0
    assert "TrainingDiverged: objective: the loss is nan at step 3 (epoch 0, batch 3)" in done.stderr
    assert "TrainingDiverged: objective: the loss of another process is not finite at step 3" in done.stderr


@pytest.mark.distributed
def test_the_command_line_trains_in_two_processes_and_resumes_with_one(tmp_path: Path):
    run = tmp_path / "run"
    two = [
        "--trainer.max_epochs",
        "2",
        "--trainer.accelerator",
        "cpu",
        "--trainer.devices",
        "2",
        "--trainer.strategy",
        "ddp",
    ]
    program = [sys.executable, "-W", "error", "-m", "pyro_mixvae", "train"]
    options = ["mvae-digits", "--quiet", "--out", str(run), *two]
    done = subprocess.run([*program, *options], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("report.html") == 1
    assert (run / "report.html").exists() and len(metrics(run)) == 2
    before = open_run(run).model.state_dict()
    one = ["--quiet", "--trainer.max_epochs", "3", "--trainer.devices", "1", "--trainer.strategy", "auto"]
    assert main(["train", "--resume", str(run), *one]) == 0
    assert len(metrics(run)) == 3
    assert any(not torch.equal(value, before[name]) for name, value in open_run(run).model.state_dict().items())


class Three(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Parameter(torch.zeros(2)) for _ in range(3))


def share(rank: int, folder: str) -> None:
    """a has a gradient in both processes, b in the second alone, c in none."""
    store = torch.distributed.FileStore(f"{folder}/store", 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    model = Three()
    model.a.grad = torch.tensor([1.0, 2.0]) * (rank + 1)
    model.b.grad = torch.tensor([6.0, 3.0]) if rank else None
    share_gradients(model.parameters(), 2 if rank else 1)
    assert torch.equal(model.a.grad, torch.tensor([1.0, 2.0]))
    assert torch.equal(model.b.grad, torch.tensor([2.0, 1.0]))
    assert model.c.grad is None
    torch.distributed.destroy_process_group()


@pytest.mark.distributed
def test_gradients_are_means_over_the_data_of_all_processes(tmp_path: Path):
    torch.multiprocessing.spawn(share, (str(tmp_path),), nprocs=2)


def test_in_one_process_gradients_are_only_divided():
    model = Three()
    model.a.grad = torch.tensor([3.0, 6.0])
    share_gradients(model.parameters(), 3)
    assert torch.equal(model.a.grad, torch.tensor([1.0, 2.0])) and model.b.grad is None
