"""A training in a process of its own, which is killed or kills itself. Imported by a fork server, once for all."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import torch

from pyro_mixvae.training import checkpoints, fit
from tests.models.every_model import every, some_data

EPOCHS = 60


def train(name: str, folder: str, epochs: int = EPOCHS, die: tuple[str, int, int] | None = None) -> None:
    """Start or go on with a training in a folder.

    Args:
        name: of the model.
        folder: the run folder.
        epochs: how many in all.
        die: where, in which checkpoint that this process writes, and after how many bytes it kills itself.
    """
    torch.set_num_threads(1)
    if die is not None:
        _die(*die)
    last = Path(folder) / "checkpoints" / "last.ckpt"
    fit(
        every(name),
        some_data(),
        max_epochs=epochs,
        batch_size=6,
        seed=0,
        progress=False,
        accelerator="cpu",
        out=folder,
        resume=folder if last.exists() else None,
    )


class Fatal:
    """A file that kills its process after so many bytes."""

    def __init__(self, file, left: int) -> None:
        self.file, self.left = file, left

    def write(self, content) -> int:
        if len(content) >= self.left:
            self.file.write(bytes(content)[: self.left])
            self.file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= len(content)
        return self.file.write(content)

    def flush(self) -> None:
        self.file.flush()


def _die(where: str, number: int, size: int) -> None:
    save, replace, count = torch.save, Path.replace, [0]

    def fatal_save(checkpoint, file):
        count[0] += 1
        save(checkpoint, Fatal(file, size) if where == "writing" and count[0] == number else file)

    def fatal_replace(self, target):
        if count[0] == number and where == "before renaming":
            os.kill(os.getpid(), signal.SIGKILL)
        replace(self, target)
        if count[0] == number and where == "after renaming":
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoints.torch.save = fatal_save
    Path.replace = fatal_replace
