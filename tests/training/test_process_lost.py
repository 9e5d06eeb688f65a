"""Two processes of which one is killed, and two that know nothing of each other but an address."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from pyro_mixvae.training.checkpoints import read_checkpoint

PROGRAM = [sys.executable, "-m", "pyro_mixvae", "train"]
TWO = ["--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.strategy", "ddp"]
ONE = ["--trainer.accelerator", "cpu", "--trainer.devices", "1", "--trainer.strategy", "auto"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
RECIPE = """
model:
  class: VAE
  latent_dim: 2
  encoder: {kind: mlp, hidden_dims: [8]}
  decoder: {kind: mlp, hidden_dims: [8]}
data: {name: digits, batch_size: 100}
trainer: {max_epochs: 100000}
"""


def child_of(process: subprocess.Popen) -> int:
    found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True)
    return int(found.stdout.split()[-1])


def epochs(run: Path) -> int:
    path = run / "checkpoints" / "last.ckpt"
    return len(read_checkpoint(path)["pyro_mixvae"]["history"]) if path.exists() else 0


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.distributed
@pytest.mark.parametrize(("killed", "after"), [("second", TWO), ("first", ONE)])
def test_one_of_two_is_killed(tmp_path, killed, after):
    """The other ends by itself within a minute, with an error; what is left goes on with one process or two."""
    (tmp_path / "long.yaml").write_text(RECIPE)
    command = [*PROGRAM, "long.yaml", "--quiet", "--out", "run", *TWO]
    run, error = tmp_path / "run", tmp_path / "stderr"
    with error.open("w") as file:
        process = subprocess.Popen(command, cwd=tmp_path, stderr=file, env=ENVIRONMENT)
    begin = time.perf_counter()
    while epochs(run) < 3:
        assert process.poll() is None, error.read_text()
        assert time.perf_counter() - begin < 300
        time.sleep(0.2)
    second = child_of(process)
    os.kill(second if killed == "second" else process.pid, signal.SIGKILL)
    begin = time.perf_counter()
    if killed == "second":
        assert process.wait(60) == 1
        said = error.read_text()
        assert "pyro-mixvae: error: another process of this training has ended after" in said
        assert said.strip().endswith("to go on: pyro-mixvae train --resume run")
        assert "Traceback" not in said
    else:
        process.wait()
        while alive(second):
            assert time.perf_counter() - begin < 60
            time.sleep(0.2)
        assert "another process of this training has ended" in error.read_text()
    complete = epochs(run)
    assert complete >= 3
    # the length is of no interest here, so the run is made to end
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("max_epochs: 100000", f"max_epochs: {complete + 2}"))
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    checkpoint["pyro_mixvae"]["settings"]["max_epochs"] = str(complete + 1)
    torch.save(checkpoint, run / "checkpoints" / "last.ckpt")
    done = subprocess.run(
        [*PROGRAM, "--resume", "run", "--quiet", *after], cwd=tmp_path, capture_output=True, text=True, env=ENVIRONMENT
    )
    assert done.returncode == 0, done.stderr
    assert epochs(run) == complete + 2
    assert (run / "report.html").exists()


@pytest.mark.distributed
@pytest.mark.usefixtures("ctrl_c_heard")
def test_ctrl_c_with_two_processes(tmp_path):
    """The terminal tells both, at different moments; they end after the same step, and go on as if nothing had been."""
    recipe = RECIPE.replace("batch_size: 100", "batch_size: 8").replace("100000", "4")
    (tmp_path / "short.yaml").write_text(recipe)

    def command(*what):
        return [*PROGRAM, *what, "--quiet", *TWO]

    options = {"cwd": tmp_path, "env": ENVIRONMENT, "stderr": subprocess.PIPE, "text": True}
    whole = subprocess.run(command("short.yaml", "--out", "whole"), **options, check=False)
    assert whole.returncode == 0, whole.stderr
    process = subprocess.Popen(command("short.yaml", "--out", "run"), **options, start_new_session=True)
    begin = time.perf_counter()
    while epochs(tmp_path / "run") < 1:
        assert process.poll() is None, process.communicate()
        assert time.perf_counter() - begin < 300
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    try:
        _, error = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130, error
    assert "pyro-mixvae: stopped in epoch" in error
    assert "in_epoch" in read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["pyro_mixvae"]
    resumed = subprocess.run(command("--resume", "run"), **options, check=False)
    assert resumed.returncode == 0, resumed.stderr
    for file in ("metrics.csv", "model/model.safetensors"):
        assert (tmp_path / "run" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.mark.distributed
def test_two_machines_by_torchrun(tmp_path):
    """The documented commands, with both machines on the loopback."""
    (tmp_path / "short.yaml").write_text(RECIPE.replace("100000", "2"))
    port, processes = free_port(), []
    for rank in range(2):
        launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
        place = ["--node-rank", str(rank), "--master-addr", "127.0.0.1", "--master-port", str(port)]
        options = ["--trainer.num_nodes", "2", "--trainer.devices", "1", "--trainer.strategy", "ddp"]
        command = [*launcher, *place, "-m", "pyro_mixvae", "train", "short.yaml", "--quiet", "--out", "run"]
        command += [*options, "--trainer.accelerator", "cpu"]
        processes.append(
            subprocess.Popen(
                command, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
    found = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], found
    assert sum(output.count("report.html") for output, _ in found) == 1
    assert epochs(tmp_path / "run") == 2
    assert (tmp_path / "run" / "report.html").exists()
