"""Lightning's trainer as fit needs it: what is handed to it, how it is stopped, and what it must not say."""

from __future__ import annotations

import contextlib
import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch.distributed import DistError

from pyro_mixvae.training.errors import ProcessLost, TrainingDiverged
from pyro_mixvae.training.module import TrainingModule


class StopEarly(EarlyStopping):
    """Counts epochs without a better validation loss, but only after the warm-up."""

    def __init__(self, patience: int) -> None:
        super().__init__("validation/loss", patience=patience, check_on_train_epoch_end=True)

    def on_train_start(self, trainer: Trainer, module: Any) -> None:
        if not sum(trainer.num_val_batches) or trainer.check_val_every_n_epoch != 1:
            raise ValueError("patience: needs validation data, looked at in every epoch")
        if self.wait_count >= self.patience:
            # resumed after it had stopped
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: Trainer, module: Any) -> None:
        if module.warmup is None or module.step >= module.warm_steps:
            super().on_train_epoch_end(trainer, module)


def listed(own: Any) -> list[Any]:
    """What a user may give alone, in a list, or not at all."""
    return list(own) if isinstance(own, list | tuple) else [] if own is None else [own]


def run(
    runner: Trainer,
    module: TrainingModule,
    source: LightningDataModule,
    resume: Path | None,
    listening: contextlib.AbstractContextManager[None],
) -> None:
    """The training itself; Ctrl-C ends it as it ends everything else, with a word on how far it went.

    Args:
        runner, module, source, resume: what is trained, on what, and what is gone on with.
        listening: around the training, see :class:`~pyro_mixvae.training.interrupt.StopAtCtrlC`.

    Raises:
        ValueError: for a checkpoint with other weights than the model has, or options that do not fit the data.
        ProcessLost: where another process has ended, which shows at the next sum over all of them.
    """
    try:
        with listening:
            runner.fit(module, datamodule=source, ckpt_path=resume)
    except SystemExit as end:
        if not isinstance(end.__context__, KeyboardInterrupt):
            raise
        done = f"stopped after {len(module.history)} of {runner.max_epochs} epochs"
        raise KeyboardInterrupt(str(end.__context__) or done) from None
    except MisconfigurationException as error:
        # found with the data only: a share of them that is less than a batch
        raise ValueError(f"trainer: {error}") from error
    except RuntimeError as error:
        if resume is not None and "loading state_dict" in str(error):
            raise ValueError(f"resume: {resume} is of another model: {' '.join(str(error).split())[:500]}") from error
        if runner.world_size == 1 or isinstance(error, TrainingDiverged) or not _is_of_the_network(error):
            raise
        done = f"after {len(module.history)} of {runner.max_epochs} epochs"
        why = re.sub(r"^\[[^]]*\] ", "", str(error).split(". ")[0])
        raise ProcessLost(f"another process of this training has ended {done}: {why}") from error


def _is_of_the_network(error: RuntimeError) -> bool:
    """Whether processes could not speak to each other; gloo has no error of its own for that."""
    return isinstance(error, DistError) or any(
        sign in str(error) for sign in ("gloo", "NCCL", "Connection reset by peer", "Connection closed by peer")
    )


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's advertisements and hints out of a user's terminal, for the time of a training."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*GPU available but not used.*")
            warnings.filterwarnings("ignore", ".*defined a `validation_step` but have no `val_dataloader`.*")
            warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")
            # Lightning 2.6 with PyTorch 2.15
            warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.* is deprecated.*")
            yield
    finally:
        logger.setLevel(level)
