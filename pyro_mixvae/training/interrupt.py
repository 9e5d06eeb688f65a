"""Ctrl-C in a training: the step is finished and kept, then it ends."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher

from pyro_mixvae.training.module import TrainingModule
from pyro_mixvae.training.processes import any_process, is_first_process


class StopAtCtrlC(Callback):
    """At the first Ctrl-C a training ends with its next step and a checkpoint of that, at the second one at once.

    In the last two steps of an epoch, and while held-out data are looked at, it ends with the epoch, whose checkpoint
    is written anyway. A loader that cannot say where it stands (no ``state_dict``) cannot be gone on with in the middle
    of an epoch: then the checkpoint of the last complete epoch is left.

    Args:
        file: the checkpoint.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.asked = False

    @contextmanager
    def listening(self, trainer: Trainer) -> Iterator[None]:
        """Take the first Ctrl-C within.

        Not where other processes train, outside the main thread, or where Ctrl-C is ignored, as under nohup.
        """
        elsewhere = isinstance(trainer.strategy.launcher, _MultiProcessingLauncher)
        before = signal.getsignal(signal.SIGINT)
        if elsewhere or threading.current_thread() is not threading.main_thread() or not callable(before):
            yield
            return

        def ask(*_: Any) -> None:
            self.asked = True
            signal.signal(signal.SIGINT, before)
            if is_first_process():
                print("stopping after this step; Ctrl-C again stops at once", file=sys.stderr)

        signal.signal(signal.SIGINT, ask)
        try:
            yield
        finally:
            # Lightning leaves the process deaf to Ctrl-C, since it means to end it
            signal.signal(signal.SIGINT, before)

    def on_train_batch_end(self, trainer: Trainer, module: Any, outputs: Any, batch: Any, batch_index: int) -> None:
        assert isinstance(module, TrainingModule)
        done, whole = batch_index + 1, int(trainer.num_training_batches)
        # a last batch may be short, which a model may only know from the batches before it
        if done + 1 >= whole or done % module.accumulate or not any_process(self.asked, module.weight):
            return
        if not callable(getattr(trainer.train_dataloader, "state_dict", None)):
            raise KeyboardInterrupt
        trainer.save_checkpoint(self.file)
        where = f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}"
        raise KeyboardInterrupt(f"stopped in {where}, after {done} of its {whole} batches")

    def on_train_epoch_start(self, trainer: Trainer, module: Any) -> None:
        if any_process(self.asked, module.weight):
            raise KeyboardInterrupt

    def on_train_end(self, trainer: Trainer, module: Any) -> None:
        if any_process(self.asked, module.weight):
            raise KeyboardInterrupt
