"""Train a model: the one function for every model and objective."""

from __future__ import annotations

import contextlib
import logging
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyro
import torch
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers.logger import Logger
from torch import Tensor, nn

from pyro_mixvae.data import DataSet
from pyro_mixvae.training.batching import InMemoryData, as_data_set
from pyro_mixvae.training.metrics_file import MetricsFile
from pyro_mixvae.training.module import MakeOptimizer, TrainingModule, default_optimizer
from pyro_mixvae.training.progress import TermsProgress
from pyro_mixvae.training.schedules import MakeSchedule, schedule_by_name
from pyro_mixvae.training.warmup import LinearWarmup


@dataclass(frozen=True)
class FitResult:
    """What a training leaves behind.

    Attributes:
        model: the trained model, in evaluation mode.
        history: one row for each epoch: ``epoch``, the mean of every term (``train/...``, ``validation/...``, nats
            per datum), ``learning_rate`` and ``warmup``.
        seconds: wall time of the training loop.
        trainer: Lightning's trainer.
    """

    model: nn.Module
    history: list[dict[str, float]]
    seconds: float
    trainer: Trainer


def fit(
    model: nn.Module,
    data: Tensor | tuple[Tensor, ...] | DataSet | LightningDataModule,
    *,
    max_epochs: int,
    objective: Any = None,
    optimizer: MakeOptimizer | None = None,
    lr: float = 1e-3,
    schedule: str | MakeSchedule | None = None,
    batch_size: int = 100,
    warmup: LinearWarmup | None = None,
    accumulate: int = 1,
    clip: float | None = None,
    patience: int | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    progress: bool = True,
    **trainer: Any,
) -> FitResult:
    """Train a model by gradient steps on its objective.

    Args:
        model: has ``model``, ``guide`` and, unless ``objective`` is given, ``objective()``.
        data: a tensor [N, \\*event_shape], a pair (x, y), a :class:`~pyro_mixvae.data.DataSet` or a
            ``LightningDataModule`` whose batches are x or (x, y).
        max_epochs: how often each datum is seen.
        objective: an ELBO object, ours or Pyro's; None: the model's own.
        optimizer: from parameters to a torch optimiser; None: Adam, in one fused kernel.
        lr: learning rate of the default optimiser.
        schedule: ``"cosine"``, ``"linear"``, or a function from an optimiser and its number of steps to a torch
            schedule, advanced at each step; None: constant.
        batch_size: data in a batch.
        warmup: weight that divergences are multiplied by in the first part of the training.
        accumulate: batches whose gradients are averaged for one step.
        clip: largest gradient norm of each update; None: any.
        patience: stop after so many epochs, counted after the warm-up, without a better validation loss, and go back
            to the best; needs validation data.
        seed: of everything random in this training; None: drawn from torch's random state. The caller's random state
            is left alone if a seed is given.
        out: folder for ``metrics.csv`` and ``checkpoints/``; None: nothing is written.
        progress: show a bar with the objective's terms.
        trainer: everything else goes to :class:`lightning.pytorch.Trainer`, e.g. ``accelerator="gpu"``.

    Returns:
        the trained model and its history.

    Raises:
        ValueError: before any work, for arguments outside their range or data that the model cannot take.
        TrainingDiverged: at a loss that is not finite; names the term, the site and the step. The last good
            checkpoint is kept.

    Example:
        >>> from pyro_mixvae.models import GMVAE
        >>> model = GMVAE((4,), latent_dim=2, num_components=3, style_dim=2, likelihood="normal")
        >>> result = fit(model, torch.randn(50, 4), max_epochs=2, seed=0, progress=False)
        >>> [sorted(row)[:2] for row in result.history]
        [['epoch', 'learning_rate'], ['epoch', 'learning_rate']]
    """
    _check_numbers(
        max_epochs=max_epochs,
        batch_size=batch_size,
        accumulate=accumulate,
        lr=lr,
        clip=clip,
        patience=patience,
    )
    for name in ("model", "guide"):
        if not callable(getattr(model, name, None)):
            raise ValueError(f"model: {type(model).__name__} has no method '{name}'; fit needs model and guide")
    if objective is None:
        if not callable(own := getattr(model, "objective", None)):
            raise ValueError(f"objective: {type(model).__name__} has no objective(); pass one, e.g. Trace_ELBO()")
        objective = own()
    folder = None if out is None else prepare_folder(out)

    with torch.random.fork_rng(enabled=seed is not None):
        if seed is None:
            data_seed = int(torch.randint(2**31, ()))
        else:
            data_seed = seed
            torch.manual_seed(seed)
        source = data if isinstance(data, LightningDataModule) else _in_memory(model, data, batch_size, data_seed)
        module = TrainingModule(
            model,
            objective,
            optimizer or (lambda parameters: default_optimizer(parameters, lr)),
            schedule_by_name(schedule),
            warmup,
            accumulate,
            clip,
        )
        loggers, callbacks = _loggers(folder, trainer.pop("logger", None)), list(trainer.pop("callbacks", []))
        if folder is not None:
            callbacks += _checkpoints(folder, patience)
        if patience is not None:
            callbacks.append(_EarlyStopping(patience))
        if progress:
            callbacks.append(TermsProgress())
        options = {"accelerator": "auto", "devices": 1, "enable_model_summary": False, **trainer}
        if isinstance(source, InMemoryData) and source.data.validation is None:
            options["limit_val_batches"] = 0
        with _quiet_lightning():
            runner = Trainer(
                max_epochs=max_epochs,
                logger=loggers or False,
                callbacks=callbacks,
                enable_progress_bar=False,
                enable_checkpointing=folder is not None,
                num_sanity_val_steps=0,
                log_every_n_steps=1,
                **options,
            )
            model.train()
            start = time.perf_counter()
            # sites and shapes were checked at the boundary; Pyro's checks at every step cost a tenth of it
            with pyro.validation_enabled(False):
                runner.fit(module, datamodule=source)
            seconds = time.perf_counter() - start
        if patience is not None:
            _restore_best(model, runner)
    model.eval()
    return FitResult(model, module.history, seconds, runner)


def prepare_folder(out: str | Path) -> Path:
    """The folder that results go to, made and tried before any work is lost.

    Raises:
        ValueError: if it cannot be made or written to.
    """
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ValueError(f"out: cannot write to {folder}: {error.strerror or error}") from error
    return folder


def _check_numbers(**numbers: float | None) -> None:
    for name, value in numbers.items():
        low = 0 if name in ("lr", "clip") else 1
        if value is not None and not (value > 0 and low <= value < float("inf")):
            raise ValueError(f"{name}: expected a finite number {'> 0' if low == 0 else '>= 1'}, got {value}")


def _in_memory(model: nn.Module, data: Any, batch_size: int, seed: int) -> InMemoryData:
    data_set = as_data_set(data)
    if callable(check := getattr(model, "check", None)):
        for split in data_set.parts().values():
            check(split.values(), split.y, data_set.num_classes)
    dtype = next((parameter.dtype for parameter in model.parameters()), torch.get_default_dtype())
    return InMemoryData(data_set, batch_size, seed, dtype)


def _loggers(folder: Path | None, own: Any) -> list[Logger]:
    loggers = [] if own in (None, False) else list(own) if isinstance(own, list | tuple) else [own]
    return ([MetricsFile(folder / "metrics.csv")] if folder else []) + loggers


def _checkpoints(folder: Path, patience: int | None) -> list[Callback]:
    last = ModelCheckpoint(
        folder / "checkpoints", filename="last", save_on_train_epoch_end=True, enable_version_counter=False
    )
    if patience is None:
        return [last]
    best = ModelCheckpoint(
        folder / "checkpoints",
        filename="best",
        monitor="validation/loss",
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    return [last, best]


class _EarlyStopping(EarlyStopping):
    """Counts epochs without a better validation loss, but only after the warm-up."""

    def __init__(self, patience: int) -> None:
        super().__init__("validation/loss", patience=patience, check_on_train_epoch_end=True)

    def on_train_epoch_end(self, trainer: Trainer, module: Any) -> None:
        if module.warmup is None or module.step >= module.warm_steps:
            super().on_train_epoch_end(trainer, module)


def _restore_best(model: nn.Module, trainer: Trainer) -> None:
    best = [c for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint) and c.monitor]
    if best and best[0].best_model_path:
        state = torch.load(best[0].best_model_path, weights_only=True)["state_dict"]
        model.load_state_dict({name.removeprefix("model."): value for name, value in state.items()})


@contextlib.contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Keep Lightning's advertisements and hints out of a user's terminal, for the time of a training."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*GPU available but not used.*")
            warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")
            # Lightning 2.6 with PyTorch 2.15
            warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.* is deprecated.*")
            yield
    finally:
        logger.setLevel(level)
