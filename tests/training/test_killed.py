"""SIGKILL, at random moments and in the middle of writing: what is left goes on, and ends as if nothing had been."""

from __future__ import annotations

import csv
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyro_mixvae.training.checkpoints import read_checkpoint
from tests.training.killed import EPOCHS, train
from tests.training.test_resume import same


@pytest.fixture(scope="module")
def processes():
    """Processes that come with everything imported, from a server without threads."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.killed"])
    return context


def started(processes, *arguments):
    process = processes.Process(target=train, args=arguments)
    process.start()
    return process


def complete_epochs(folder: Path) -> int:
    """Of the checkpoint, which is whole or is not there."""
    path = folder / "checkpoints" / "last.ckpt"
    return len(read_checkpoint(path)["pyro_mixvae"]["history"]) if path.exists() else 0


def logged_epochs(folder: Path) -> int:
    path = folder / "metrics.csv"
    return max(len(path.read_text().splitlines()) - 1, 0) if path.exists() else 0


def assert_equal_ends(first: Path, second: Path) -> None:
    states = [read_checkpoint(folder / "checkpoints" / "last.ckpt") for folder in (first, second)]
    assert states[0]["pyro_mixvae"]["history"] == states[1]["pyro_mixvae"]["history"]
    for name, value in states[0]["state_dict"].items():
        assert same(value, states[1]["state_dict"][name]), name
    assert (first / "metrics.csv").read_bytes() == (second / "metrics.csv").read_bytes()
    assert [path.name for path in (second / "checkpoints").iterdir()] == ["last.ckpt"]


DEATHS = [("writing", 2, 1), ("writing", 3, 5_000), ("before renaming", 3, 0), ("after renaming", 3, 0)]


@pytest.mark.parametrize("deaths", [DEATHS[1:3], pytest.param(DEATHS * 2, marks=pytest.mark.slow)], ids=["two", "all"])
def test_killed_while_a_checkpoint_is_written(processes, tmp_path, deaths):
    """At its first byte, in its middle, before and after it gets its name."""
    whole, folder = tmp_path / "whole", tmp_path / "run"
    train("VAE", str(whole), 20)
    for where, number, size in deaths:
        before = complete_epochs(folder)
        process = started(processes, "VAE", str(folder), 20, (where, number, size))
        process.join(120)
        assert process.exitcode == -signal.SIGKILL
        assert complete_epochs(folder) == before + number - (where != "after renaming")
        assert logged_epochs(folder) - complete_epochs(folder) <= 1
    train("VAE", str(folder), 20)
    assert_equal_ends(whole, folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["GMVAE", "Factorial", "MPVAE"])
def test_killed_at_twenty_random_moments(processes, tmp_path, name):
    """Never a torn checkpoint, never more than an epoch lost, and an end that is bit for bit the same."""
    whole, folder, choice = tmp_path / "whole", tmp_path / "run", random.Random(0)
    begin = time.perf_counter()
    train(name, str(whole))
    duration = time.perf_counter() - begin
    kills = moved = 0
    while kills < 20:
        before = complete_epochs(folder)
        process = started(processes, name, str(folder))
        while process.is_alive() and complete_or_none(folder) == before and choice.random() < 0.9:
            time.sleep(0.01)  # until the first epoch of its own, as a rule, so that there is progress
        process.join(choice.uniform(0, duration / 15))
        process.kill()
        process.join()
        if process.exitcode == 0:
            break  # it was faster: the rest of the kills would find nothing to do
        assert process.exitcode == -signal.SIGKILL
        kills += 1
        moved += complete_epochs(folder) > before
        assert complete_epochs(folder) >= before
        assert logged_epochs(folder) - complete_epochs(folder) <= 1
    assert kills >= 15, "the training was over before it could be killed"
    assert moved >= 5
    train(name, str(folder))
    assert complete_epochs(folder) == EPOCHS
    assert_equal_ends(whole, folder)


def complete_or_none(folder: Path) -> int | None:
    """The same while another process writes, which may be about to replace the file."""
    try:
        return complete_epochs(folder)
    except ValueError:
        return None


RECIPE = """
model:
  class: VAE
  latent_dim: 2
  encoder: {kind: mlp, hidden_dims: [8]}
  decoder: {kind: mlp, hidden_dims: [8]}
data: {name: digits, batch_size: 100}
trainer: {max_epochs: 100000}
"""


@pytest.mark.slow
@pytest.mark.usefixtures("ctrl_c_heard")
@pytest.mark.parametrize("times", [1, 2, 5])
def test_ctrl_c_as_often_as_one_likes(tmp_path, times):
    """A word at the first, one line on how to go on, and an end within seconds; from the second time on at once."""
    (tmp_path / "long.yaml").write_text(RECIPE)
    command = [sys.executable, "-m", "pyro_mixvae", "train", "long.yaml", "--out", "run", "--quiet"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment) as process:
        checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
        while not checkpoint.exists():
            assert process.poll() is None
            time.sleep(0.05)
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            time.sleep(0.002)
        begin = time.perf_counter()
        try:
            _, error = process.communicate(timeout=60)
        finally:
            process.kill()
    assert time.perf_counter() - begin < 30
    assert process.returncode in (130, -signal.SIGINT)
    if times == 1:
        assert process.returncode == 130
        first, second, nothing = error.split("\n")
        assert first == "stopping after this step; Ctrl-C again stops at once"
        assert second.startswith("pyro-mixvae: stopped ")
        assert second.endswith("; to go on: pyro-mixvae train --resume run")
        assert not nothing
    with (tmp_path / "run" / "metrics.csv").open() as file:
        assert len(list(csv.DictReader(file))) - complete_epochs(tmp_path / "run") in (0, 1)
