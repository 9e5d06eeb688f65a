"""A training that was stopped and goes on: bit for bit the one that was not stopped."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule
from torch.utils.data import DataLoader, TensorDataset

from pyro_mixvae.cli import main
from pyro_mixvae.data import Split, bernoulli_draw, load
from pyro_mixvae.models import CSRAE, GMVAE, VAE
from pyro_mixvae.training import LinearWarmup, fit
from pyro_mixvae.training.checkpoints import read_checkpoint, replace_file

NETWORK = {"kind": "mlp", "hidden_dims": [8], "batch_norm": True}


class CtrlC(Callback):
    """Ctrl-C in the middle of an epoch."""

    def __init__(self, epoch, batch=1):
        self.epoch, self.batch = epoch, batch

    def on_train_batch_start(self, trainer, module, batch, index):
        if (trainer.current_epoch, index) == (self.epoch, self.batch):
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def digits():
    """500 digits to train on and 200 to look at, drawn anew at each visit."""
    x = load("digits").train.x
    return dataclasses.replace(
        load("digits"), train=Split(x[:500]), validation=Split(x[500:700]), test=None, transform=bernoulli_draw
    )


def model(cls):
    torch.manual_seed(0)
    options = {"latent_dim": 2, "likelihood": "bernoulli", "encoder": NETWORK, "decoder": NETWORK}
    if cls is GMVAE:
        options |= {"num_components": 3, "style_dim": 2, "c_prior_floor": "log K"}
    if cls is CSRAE:
        options |= {"prior": "gaussian-mixture", "num_components": 3}
    return cls((1, 8, 8), **options)


def train(cls, data, **options):
    settings = {
        "max_epochs": 6,
        "seed": 0,
        "progress": False,
        "batch_size": 100,
        "accumulate": 2,
        "schedule": "cosine",
        "warmup": LinearWarmup(epochs=2.5),
        "patience": 3,
    }
    return fit(model(cls), data, **{**settings, **options})


def same(first, second) -> bool:
    """Whether two things that a checkpoint may hold are equal, bit for bit."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


def state(folder, name="last") -> dict:
    """All of a checkpoint, but for paths."""
    checkpoint = read_checkpoint(folder / "checkpoints" / f"{name}.ckpt")
    for callback in checkpoint["callbacks"].values():
        for key in [key for key in callback if "path" in key or key in ("dirpath", "best_k_models")]:
            callback.pop(key)
    return checkpoint


@pytest.mark.parametrize(
    "cls", [GMVAE, *(pytest.param(cls, marks=pytest.mark.slow) for cls in (VAE, CSRAE))], ids=lambda cls: cls.__name__
)
def test_stopped_and_resumed_is_the_training_without_interruption(digits, tmp_path, cls):
    through, stopped = tmp_path / "through", tmp_path / "stopped"
    whole = train(cls, digits, out=through)
    with pytest.raises(KeyboardInterrupt, match="stopped after 3 of 6 epochs"):
        train(cls, digits, out=stopped, callbacks=CtrlC(3))
    assert len(read_checkpoint(stopped / "checkpoints" / "last.ckpt")["pyro_mixvae"]["history"]) == 3
    moved = stopped.rename(tmp_path / "moved")
    random = torch.get_rng_state()
    resumed = train(cls, digits, resume=moved, seed=None)
    assert torch.equal(torch.get_rng_state(), random)
    assert resumed.history == whole.history
    assert same(resumed.model.state_dict(), whole.model.state_dict())
    assert (moved / "metrics.csv").read_bytes() == (through / "metrics.csv").read_bytes()
    for name in ("last", "best"):
        first, second = state(through, name), state(moved, name)
        assert set(first) >= {"state_dict", "optimizer_states", "lr_schedulers", "callbacks", "pyro_mixvae"}
        for key in ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "pyro_mixvae", "global_step"):
            assert same(first[key], second[key]), key
    # a finished training has nothing left to do
    again = train(cls, digits, resume=moved)
    assert again.history == whole.history
    assert same(again.model.state_dict(), whole.model.state_dict())


def test_longer_than_it_was_meant_to_be_without_a_seed_in_another_folder(digits, tmp_path):
    options = {"schedule": None, "patience": None, "warmup": None}
    whole = train(VAE, digits, **options, max_epochs=4, seed=7)
    train(VAE, digits, **options, max_epochs=2, seed=7, out=tmp_path / "first")
    checkpoint = tmp_path / "first" / "checkpoints" / "last.ckpt"
    before = checkpoint.read_bytes()
    resumed = train(VAE, digits, **options, max_epochs=4, seed=None, resume=checkpoint, out=tmp_path / "second")
    assert resumed.history == whole.history
    assert same(resumed.model.state_dict(), whole.model.state_dict())
    assert checkpoint.read_bytes() == before
    assert len((tmp_path / "second" / "metrics.csv").read_text().splitlines()) == 5


def test_a_loader_that_draws_from_the_global_random_state(tmp_path):
    class Loaders(LightningDataModule):
        def train_dataloader(self):
            data = TensorDataset(load("digits").train.x[:100])
            return DataLoader(data, batch_size=20, shuffle=True)

    options = {"patience": None, "warmup": None}
    whole = train(VAE, Loaders(), **options, max_epochs=3)
    with pytest.raises(KeyboardInterrupt):
        train(VAE, Loaders(), **options, max_epochs=3, out=tmp_path, callbacks=CtrlC(1))
    resumed = train(VAE, Loaders(), **options, max_epochs=3, resume=tmp_path)
    assert resumed.history == whole.history
    assert same(resumed.model.state_dict(), whole.model.state_dict())


def test_another_training_is_refused(digits, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(VAE, digits, out=tmp_path, callbacks=CtrlC(1))
    for options, message in [
        ({"seed": 1}, "seed: the training to resume has 0, got 1"),
        ({"batch_size": 50}, "batch_size: the training to resume has 100, got 50"),
        ({"max_epochs": 5}, "max_epochs: .* has 6, got 5"),
        ({"max_epochs": 7}, "max_epochs: .* has 6, over which its schedule cosine runs, got 7"),
        ({"lr": 0.1}, "lr: the training to resume has 0.001, got 0.1"),
        ({"patience": None}, "patience: the training to resume has 3, got None"),
        ({"clip": 1.0}, "clip: the training to resume has None, got 1.0"),
    ]:
        with pytest.raises(ValueError, match=message):
            train(VAE, digits, resume=tmp_path, **options)
    with pytest.raises(ValueError, match=r"model\.|state"):
        train(GMVAE, digits, resume=tmp_path)


def test_what_is_no_checkpoint_is_refused(digits, tmp_path):
    with pytest.raises(ValueError, match=r"resume: there is no checkpoint .*last.ckpt"):
        train(VAE, digits, resume=tmp_path)
    (tmp_path / "torn.ckpt").write_bytes(b"PK\x03\x04 half of it")
    with pytest.raises(ValueError, match=r"resume: .*torn.ckpt is not a whole checkpoint"):
        train(VAE, digits, resume=tmp_path / "torn.ckpt")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    replace_file(path, lambda file: file.write(b"old"))

    def fails(file):
        file.write(b"ne")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        replace_file(path, fails)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


RECIPE = """
model:
  class: GMVAE
  latent_dim: 2
  num_components: 3
  style_dim: 2
  encoder: {kind: mlp, hidden_dims: [8], batch_norm: true}
  decoder: {kind: mlp, hidden_dims: [8]}
data: {name: "npy:data.npy", split: 30/10/10, batch_size: 10}
optimizer: {lr: 0.01, schedule: cosine}
trainer: {max_epochs: %d, patience: 50}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("data.npy", np.random.default_rng(0).random((50, 4, 4), dtype=np.float32))
    return tmp_path


def test_ctrl_c_and_resume_on_the_command_line(folder, monkeypatch, capsys):
    Path("tiny.yaml").write_text(RECIPE % 4)
    assert main(["train", "tiny.yaml", "--out", "whole", "--seed", "3", "--quiet"]) == 0
    hook = "pyro_mixvae.training.module.TrainingModule.on_train_epoch_start"
    with monkeypatch.context() as patch:
        patch.setattr(hook, lambda self: (_ for _ in ()).throw(KeyboardInterrupt) if self.current_epoch == 2 else None)
        capsys.readouterr()
        assert main(["train", "tiny.yaml", "--out", "run", "--seed", "3", "--quiet"]) == 130
    error = capsys.readouterr().err
    assert error == "pyro-mixvae: stopped after 2 of 4 epochs; to go on: pyro-mixvae train --resume run\n"
    assert main(["train", "--resume", "run", "--trainer.max_epochs", "3", "--quiet"]) == 2
    assert main(["train", "--resume", "run", "--model.num_components", "4"]) == 2
    assert "--model.num_components: the run to resume has 3, got 4" in capsys.readouterr().err
    assert main(["train", "--resume", "nowhere"]) == 2
    assert main(["train", "--resume"]) == 2


@pytest.mark.slow
def test_killed_and_resumed_in_a_new_process(folder):
    """SIGKILL in the middle: the run ends as the one that nobody killed."""
    Path("long.yaml").write_text(RECIPE % 200)
    command = [sys.executable, "-c", "import sys; from pyro_mixvae.cli import main; sys.exit(main())", "train"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "long.yaml", "--out", "whole", "--quiet"], check=True, env=environment)
    with subprocess.Popen([*command, "long.yaml", "--out", "run", "--quiet"], env=environment) as process:
        while not Path("run/checkpoints/last.ckpt").exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert 0 < len(read_checkpoint("run/checkpoints/last.ckpt")["pyro_mixvae"]["history"]) < 200
    subprocess.run([*command, "--resume", "run", "--quiet"], check=True, env=environment)
    for file in ("metrics.csv", "model/model.safetensors"):
        assert Path("run", file).read_bytes() == Path("whole", file).read_bytes(), file
