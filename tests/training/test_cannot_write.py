"""A disk that is full, a folder that is read-only or gone: a word on it, and the last checkpoint as it was."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch import Callback

from pyro_mixvae.cli import main
from pyro_mixvae.training import CannotWrite, fit
from pyro_mixvae.training.checkpoints import read_checkpoint, replace_file
from tests.models.every_model import every, some_data

QUIET = {"seed": 0, "progress": False, "accelerator": "cpu", "batch_size": 6}
NOBODY = 65_534


class Before(Callback):
    """Does something at the beginning of an epoch."""

    def __init__(self, epoch, what):
        self.epoch, self.what = epoch, what

    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == self.epoch:
            self.what()


@contextlib.contextmanager
def no_file_above(size: int):
    """The kernel refuses to write a file beyond that size: an error of the same kind as that of a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def assert_goes_on(folder: Path, **options) -> None:
    """The run ends as one that nothing has happened to."""
    result = fit(every("VAE"), some_data(), max_epochs=4, resume=folder, **{**QUIET, **options})
    whole = fit(every("VAE"), some_data(), max_epochs=4, **QUIET)
    assert result.history == whole.history
    assert all(torch.equal(value, whole.model.state_dict()[name]) for name, value in result.model.state_dict().items())
    assert len((folder / "metrics.csv").read_text().splitlines()) == 5


def test_full_at_a_checkpoint(tmp_path):
    with no_file_above(8_000) as limit:
        callbacks = Before(2, limit)
        with pytest.raises(CannotWrite) as error:
            fit(every("VAE"), some_data(), max_epochs=4, out=tmp_path, callbacks=callbacks, **QUIET)
    path = tmp_path / "checkpoints" / "last.ckpt"
    assert str(error.value) == f"cannot write the checkpoint {path}: File too large; the one before it is untouched"
    assert len(read_checkpoint(path)["pyro_mixvae"]["history"]) == 2
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]
    assert_goes_on(tmp_path)


def test_full_at_the_first_checkpoint(tmp_path):
    with (
        no_file_above(8_000) as limit,
        pytest.raises(CannotWrite, match=r"last.ckpt: File too large; there is none yet"),
    ):
        fit(every("VAE"), some_data(), max_epochs=4, out=tmp_path, callbacks=Before(0, limit), **QUIET)
    assert not list(tmp_path.glob("checkpoints/*"))


def test_full_at_the_metrics(tmp_path):
    with no_file_above(100) as limit, pytest.raises(CannotWrite, match=r"metrics.csv: File too large; the last"):
        fit(every("VAE"), some_data(), max_epochs=4, out=tmp_path, callbacks=Before(2, limit), **QUIET)
    assert len(read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["pyro_mixvae"]["history"]) == 2
    assert_goes_on(tmp_path)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte, where the user may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"no mount: {error}")
    if done.returncode:
        pytest.skip(f"only root may mount a small file system: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_is_really_full(small_disk):
    """One checkpoint fits on it, a second beside it does not."""

    def fill():
        with contextlib.suppress(OSError), (small_disk / "other people's").open("wb") as file:
            for _ in range(300):
                file.write(b"x" * 4096)
                file.flush()

    with pytest.raises(CannotWrite, match=r"No space left on device; the (one before it|last checkpoint) is untouched"):
        fit(every("VAE"), some_data(), max_epochs=4, out=small_disk, callbacks=Before(2, fill), **QUIET)
    assert len(read_checkpoint(small_disk / "checkpoints" / "last.ckpt")["pyro_mixvae"]["history"]) == 2
    (small_disk / "other people's").unlink()
    assert_goes_on(small_disk)


@contextlib.contextmanager
def as_a_user_without_rights():
    """Root may write anywhere, so for a while the process is nobody."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder():
    """A folder that every user can reach, as pytest's own cannot be."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def test_a_read_only_folder(open_folder):
    folder = open_folder / "run"
    folder.mkdir()
    folder.chmod(0o555)
    with as_a_user_without_rights(), pytest.raises(ValueError, match=r"out: cannot write to .*run: Permission denied"):
        fit(every("VAE"), some_data(), max_epochs=1, out=folder, **QUIET)
    with as_a_user_without_rights(), pytest.raises(ValueError, match=r"out: cannot write to .*x: Permission denied"):
        fit(every("VAE"), some_data(), max_epochs=1, out=folder / "x", **QUIET)


def test_a_folder_made_read_only_while_running(open_folder):
    folder = open_folder / "run"

    def close():
        for path in (folder / "checkpoints", folder / "metrics.csv", folder):
            path.chmod(0o555)

    denied = pytest.raises(CannotWrite, match=r"metrics.csv: Permission denied; the last checkpoint is untouched")
    with as_a_user_without_rights(), denied:
        fit(every("VAE"), some_data(), max_epochs=4, out=folder, callbacks=Before(2, close), **QUIET)
    assert len(read_checkpoint(folder / "checkpoints" / "last.ckpt")["pyro_mixvae"]["history"]) == 2


def test_a_folder_removed_while_running(tmp_path):
    """It is not made again, as an empty one with the latest epoch alone."""
    folder = tmp_path / "run"
    with pytest.raises(CannotWrite, match=r"metrics.csv: No such file or directory"):
        remove = Before(2, lambda: shutil.rmtree(folder))
        fit(every("VAE"), some_data(), max_epochs=4, out=folder, callbacks=remove, **QUIET)
    assert not folder.exists()


# --- on the command line ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["checkpoint", "model", "figures"])
def test_one_line_and_how_to_go_on(tiny, write_recipe, tmp_path, monkeypatch, capsys, where):
    """Whatever cannot be written: status 1, and the named command finishes the run."""
    monkeypatch.chdir(tmp_path)
    recipe = write_recipe(tiny)

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    place = {
        "checkpoint": "pyro_mixvae.training.checkpoints.torch.save",
        "model": "pyro_mixvae.serialization.save_file",
        "figures": "pathlib.Path.write_bytes",
    }[where]
    with monkeypatch.context() as patch:
        patch.setattr(place, full)
        assert main(["train", recipe, "--out", "run", "--quiet"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "No space left on device" in error
    assert error.endswith("; to go on: pyro-mixvae train --resume run\n")
    assert main(["train", "--resume", "run", "--quiet"]) == 0
    assert Path("run/report.html").exists()


def test_on_nan_on_the_command_line(tiny, write_recipe, tmp_path, monkeypatch, capsys):
    """A learning rate that overflows at once: status 1, or batches left out; a resumed run keeps the choice."""
    monkeypatch.chdir(tmp_path)
    tiny["optimizer"] = {"name": "sgd", "lr": 1e30}
    tiny["data"]["batch_size"] = 100
    tiny["objective"] = {}
    recipe = write_recipe(tiny)
    assert main(["train", recipe, "--out", "run", "--quiet"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("pyro-mixvae: error: objective: the loss is ") or "parameters are not finite" in error
    assert main(["train", recipe, "--out", "run2", "--quiet", "--on-nan=ignore"]) == 2
    assert "on_nan: expected 'raise' or 'skip', got 'ignore'" in capsys.readouterr().err
    tiny["optimizer"] = {}
    recipe = write_recipe(tiny, "well")
    assert main(["train", recipe, "--out", "run3", "--quiet", "--on-nan=skip"]) == 0
    assert "skipped_batches" in Path("run3/metrics.csv").read_text().splitlines()[0]
    assert yaml.safe_load(Path("run3/config.yaml").read_text())["options"]["on_nan"] == "skip"
    assert main(["train", "--resume", "run3", "--quiet", "--trainer.max_epochs=3"]) == 0
    rows = Path("run3/metrics.csv").read_text().splitlines()
    assert len(rows) == 4
    assert "skipped_batches" in rows[0]


def test_pieces_of_killed_processes_are_cleared_away(tmp_path):
    """Of the file that is written, and only of processes that are no more."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    pieces = {
        f".last.ckpt.{dead.pid}.part": False,
        f".last.ckpt.{os.getppid()}.part": True,
        f".best.ckpt.{dead.pid}.part": True,
        ".last.ckpt.some.part": True,
    }
    for name in pieces:
        (tmp_path / name).write_bytes(b"half of it")
    replace_file(tmp_path / "last.ckpt", lambda file: file.write(b"whole"))
    assert (tmp_path / "last.ckpt").read_bytes() == b"whole"
    assert {name: (tmp_path / name).exists() for name in pieces} == pieces
