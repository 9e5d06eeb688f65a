"""A progress bar that shows the objective's terms."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pyro_mixvae.training.module import TrainingModule

#: Redrawing costs more than a small model's step, so the bar moves at most this often in an epoch.
UPDATES_PER_EPOCH = 20


class TermsProgress(Callback):
    """One bar over the whole training with the last epoch's terms; plain lines where nobody looks at a terminal.

    Args:
        console: where it is shown; None: the standard output.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self._progress: Progress | None = None

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._batches = int(trainer.num_training_batches)
        self._stride = max(1, self._batches // UPDATES_PER_EPOCH)
        self._lines = max(1, (trainer.max_epochs or 1) // 10)
        if not trainer.is_global_zero or not self.console.is_terminal:
            return
        columns = (
            TextColumn("epoch"),
            MofNCompleteColumn(),
            BarColumn(bar_width=20),
            TimeRemainingColumn(),
            TextColumn("{task.fields[terms]}"),
        )
        self._progress = Progress(*columns, console=self.console, refresh_per_second=4)
        self._task = self._progress.add_task("", total=trainer.max_epochs, terms="")
        self._progress.start()

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        if self._progress is not None and batch_index % self._stride == 0:
            done = trainer.current_epoch + (batch_index + 1) / self._batches
            self._progress.update(self._task, completed=int(done), terms=self._terms(module))

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        if self._progress is None and trainer.current_epoch and trainer.current_epoch % self._lines == 0:
            self._print(trainer, module)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        if self._progress is not None:
            self._progress.update(self._task, completed=trainer.current_epoch, terms=self._terms(module))
        self._stop()
        if self._progress is None and trainer.is_global_zero:
            self._print(trainer, module)

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()

    def _print(self, trainer: Trainer, module: LightningModule) -> None:
        if trainer.is_global_zero:
            line = f"epoch {trainer.current_epoch}/{trainer.max_epochs}  {self._terms(module)}"
            self.console.print(line, soft_wrap=True, highlight=False)

    @staticmethod
    def _terms(module: LightningModule) -> str:
        if not isinstance(module, TrainingModule) or not len(module.history):
            return ""
        row = module.history.last()
        shown = {name.removeprefix("train/"): value for name, value in row.items() if name.startswith("train/")}
        return "  ".join(f"{name} {value:.2f}" for name, value in shown.items())
