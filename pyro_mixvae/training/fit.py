"""Train a model: the one function for every model and objective."""

from __future__ import annotations

import contextlib
import inspect
import tempfile
import time
from pathlib import Path
from typing import Any

import pyro
import torch
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn

from pyro_mixvae.data import DataSet
from pyro_mixvae.training import denormals
from pyro_mixvae.training.batching import InMemoryData, as_data_set
from pyro_mixvae.training.checkpoints import (
    FOLDER,
    LAST,
    CheckpointFiles,
    EpochCheckpoint,
    read_checkpoint,
    take_along,
)
from pyro_mixvae.training.checks import (
    check_counts,
    check_number_of_data,
    check_numbers,
    check_objective,
    check_seed,
    check_trainer,
    prepare_folder,
)
from pyro_mixvae.training.half_precision import warn_of_slow_bfloat16
from pyro_mixvae.training.interrupt import StopAtCtrlC
from pyro_mixvae.training.loggers import check_logger, make_loggers
from pyro_mixvae.training.module import TrainingModule, own_updates
from pyro_mixvae.training.processes import is_first_process, wait_for_all
from pyro_mixvae.training.progress import TermsProgress
from pyro_mixvae.training.result import FitResult
from pyro_mixvae.training.resume import find_checkpoint, folder_of, model_settings
from pyro_mixvae.training.schedules import MakeOptimizer, MakeSchedule, default_optimizer, schedule_by_name
from pyro_mixvae.training.trainer import StopEarly, listed, quiet_lightning, run
from pyro_mixvae.training.warmup import LinearWarmup


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
    labelled_per_batch: int | None = None,
    balanced: bool = False,
    warmup: LinearWarmup | None = None,
    accumulate: int = 1,
    clip: float | None = None,
    patience: int | None = None,
    compile: bool = False,
    seed: int | None = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    on_nan: str = "raise",
    progress: bool = True,
    logger: Any = None,
    **trainer: Any,
) -> FitResult:
    """Train a model by gradient steps on its objective.

    Numbers below 1.2e-38 count as zero meanwhile: averages of Adam's, which shrink to there where a gradient is zero,
    can double the time of a step otherwise. Where torch has worked with several threads before, those keep their ways;
    ``torch.set_flush_denormal(True)`` at the top of a program reaches all.

    Args:
        model: has ``model``, ``guide`` and, unless ``objective`` is given, ``objective()``; then its
            ``validation_objective()``, where it has one, is what validation data are judged by.
        data: a tensor [N, \\*event_shape], a pair (x, y), a :class:`~pyro_mixvae.data.DataSet` or a
            ``LightningDataModule`` whose batches are x or (x, y).
        max_epochs: how often each datum is seen.
        objective: an ELBO object, ours or Pyro's; None: the model's own.
        optimizer: from parameters to a torch optimiser; None: Adam, in one fused kernel.
        lr: learning rate of the default optimiser.
        schedule: ``"cosine"``, ``"linear"``, or a function from an optimiser and its number of steps to a torch
            schedule, advanced at each step; None: constant.
        batch_size: data in a batch.
        labelled_per_batch: how many of them have a label, of data of which some have one; an epoch then goes once
            through the others. None: as it comes.
        balanced: draw those by label, see :class:`~pyro_mixvae.data.LabelledBatches`.
        warmup: weight that divergences are multiplied by in the first part of the training.
        accumulate: batches whose gradients are averaged for one step.
        clip: largest gradient norm of each update; None: any.
        patience: stop after so many epochs, counted after the warm-up, without a better validation loss, and go back
            to the best; needs validation data.
        compile: compile the loss and its gradients, see :func:`~pyro_mixvae.infer.compiled`; what cannot be compiled is
            run eagerly, with a warning. Off by default: it saves a third of a step of a small network (some
            milliseconds) and takes 10 to 40 seconds first, so it pays from some thousands of steps on.
        seed: of everything random in this training; None: drawn from torch's random state. The caller's random state
            is left alone if a seed is given.
        out: folder for ``metrics.csv`` and ``checkpoints/``; None: that of the training that is resumed, else nothing
            is written.
        resume: a run folder or a checkpoint file of the same training, to go on from its last checkpoint: on the
            CPU the result is bit for bit that of a training without interruption. Only ``max_epochs`` may be larger,
            where there is no schedule; ``seed`` may be left out.
        on_nan: ``"skip"`` leaves out batches whose loss or gradient is not finite, as if they were not there, and
            counts them (``skipped_batches`` in the history); ``"raise"`` ends the training at the first.
        progress: show a bar with the objective's terms and the time left.
        logger: where the history goes besides ``metrics.csv``: ``"tensorboard"`` (into ``out``) or ``"wandb"``, where
            that package is installed, a Lightning logger, or several in a list.
        trainer: everything else goes to :class:`lightning.pytorch.Trainer`, e.g. ``accelerator="gpu"``. A ``precision``
            that a processor takes longer for is warned of.

    Returns:
        the trained model and its history.

    Raises:
        ValueError: before any work, for arguments outside their range or data that the model cannot take.
        TrainingDiverged: at a loss that is not finite; names the term, the site, the step, and the data or parameters
            that it comes from. The last good checkpoint is kept.
        CannotWrite: (an ``OSError``) for a disk that has become full or a folder that is gone; the last complete
            checkpoint is untouched.
        ProcessLost: where another process of a data-parallel training has ended; the same checkpoint goes on.
        KeyboardInterrupt: at Ctrl-C; says where. Where there is a folder, a checkpoint of that step is in it.

    Example:
        >>> from pyro_mixvae.models import GMVAE
        >>> model = GMVAE((4,), latent_dim=2, num_components=3, style_dim=2, likelihood="normal")
        >>> result = fit(model, torch.randn(50, 4), max_epochs=2, seed=0, progress=False)
        >>> [sorted(row)[:2] for row in result.history]
        [['epoch', 'learning_rate'], ['epoch', 'learning_rate']]
    """
    check_counts(max_epochs=max_epochs, batch_size=batch_size, accumulate=accumulate)
    check_numbers(lr=lr)
    if patience is not None:
        check_counts(patience=patience)
    if clip is not None:
        check_numbers(clip=clip)
    if seed is not None:
        check_seed(seed)
    if optimizer is not None and not callable(optimizer):
        raise ValueError(f"optimizer: expected a function from parameters to a torch optimizer, got {optimizer!r}")
    if warmup is not None and not isinstance(warmup, LinearWarmup):
        raise ValueError(f"warmup: expected a LinearWarmup, got {warmup!r}")
    if isinstance(data, LightningDataModule) and (labelled_per_batch is not None or balanced):
        raise ValueError("labelled_per_batch, balanced: a LightningDataModule makes its own batches")
    check_trainer(trainer, list(inspect.signature(fit).parameters))
    for name in ("model", "guide"):
        if not callable(getattr(model, name, None)):
            raise ValueError(f"model: {type(model).__name__} has no method '{name}'; fit needs model and guide")
    if objective is None:
        if not callable(own := getattr(model, "objective", None)):
            raise ValueError(f"objective: {type(model).__name__} has no objective(); pass one, e.g. Trace_ELBO()")
        objective, judge = own(), getattr(model, "validation_objective", own)()
    elif own_updates(model):
        raise ValueError(f"objective: {type(model).__name__} makes its own updates, whose losses it decides")
    else:
        judge = objective
    if not own_updates(model):
        check_objective(objective)
    checkpoint = None if resume is None else find_checkpoint(resume)
    if checkpoint is not None:
        saved_seed = int(read_checkpoint(checkpoint)["pyro_mixvae"]["settings"]["seed"])
        seed, out = saved_seed if seed is None else seed, folder_of(checkpoint) if out is None else out
    check_logger(logger, out)
    folder = None if out is None else prepare_folder(out)

    with torch.random.fork_rng(enabled=seed is not None), contextlib.ExitStack() as stack:
        if seed is None:
            data_seed = int(torch.randint(2**31, ()))
        else:
            data_seed = seed
            torch.manual_seed(seed)
        source = (
            data
            if isinstance(data, LightningDataModule)
            else _in_memory(model, data, batch_size, data_seed, labelled_per_batch, balanced)
        )
        module = TrainingModule(
            model,
            objective,
            optimizer or (lambda parameters: default_optimizer(parameters, lr)),
            schedule_by_name(schedule),
            warmup,
            accumulate,
            clip,
            judge,
            compile,
            {
                "seed": str(data_seed),
                "max_epochs": str(max_epochs),
                "batch_size": str(batch_size),
                "labelled_per_batch": str(labelled_per_batch),
                "balanced": str(balanced),
                "schedule": getattr(schedule, "__name__", str(schedule)),
                "warmup": str(warmup),
                "accumulate": str(accumulate),
                "clip": str(clip),
                "patience": str(patience),
                **({"number of data": str(len(source.data.train))} if isinstance(source, InMemoryData) else {}),
                **model_settings(model),
            },
            on_nan,
        )
        loggers, callbacks = make_loggers(logger, folder), listed(trainer.pop("callbacks", None))
        best = stop = None
        if patience is not None:
            place = folder / FOLDER if folder else stack.enter_context(tempfile.TemporaryDirectory())
            best = EpochCheckpoint(place, "best", monitor="validation/loss")
            if checkpoint is not None and folder is not None and is_first_process():
                take_along(checkpoint.with_name("best.ckpt"), folder / FOLDER)
            callbacks += [best, StopEarly(patience)]
        if folder is not None:
            # after the best one, so that it knows of it
            callbacks.append(EpochCheckpoint(folder / FOLDER, Path(LAST).stem))
            callbacks.append(stop := StopAtCtrlC(folder / FOLDER / LAST))
        if progress:
            callbacks.append(TermsProgress())
        options = {
            "accelerator": "auto",
            "devices": 1,
            "enable_checkpointing": any(isinstance(callback, Checkpoint) for callback in callbacks),
            "enable_model_summary": False,
            "enable_progress_bar": False,
            "num_sanity_val_steps": 0,
            "log_every_n_steps": 1,
            **trainer,
            "plugins": [CheckpointFiles(), *listed(trainer.get("plugins"))],
        }
        if isinstance(source, InMemoryData) and source.data.validation is None:
            options["limit_val_batches"] = 0
        with quiet_lightning():
            try:
                runner = Trainer(max_epochs=max_epochs, logger=loggers or False, callbacks=callbacks, **options)
            except (MisconfigurationException, TypeError) as error:
                raise ValueError(f"trainer: {error}") from error
            warn_of_slow_bfloat16(runner)
            model.train()
            start = time.perf_counter()
            # the module checks sites and shapes at its first batch; at every step that would cost a tenth of it
            module.check_first = pyro.infer.util.is_validation_enabled()
            # modules write what they use into Pyro's global store, where a later one of the same name would find it
            with denormals.flushed(), pyro.validation_enabled(False), pyro.get_param_store().scope():
                run(runner, module, source, checkpoint, stop.listening(runner) if stop else contextlib.nullcontext())
            seconds = time.perf_counter() - start
        if best is not None and best.best_model_path:
            _restore(model, best.best_model_path)
            # the first process takes its temporary folder away only when all have read
            wait_for_all()
    model.eval()
    return FitResult(model, list(module.history), seconds, runner, folder)


def _in_memory(
    model: nn.Module, data: Any, batch_size: int, seed: int, labelled_per_batch: int | None, balanced: bool
) -> InMemoryData:
    data_set = as_data_set(data)
    if callable(check := getattr(model, "check", None)):
        for split in data_set.parts().values():
            for x, y in split.pieces():
                check(x, y, data_set.num_classes)
    if callable(check := getattr(model, "check_training", None)):
        check(data_set.train.y)
    check_number_of_data(model, len(data_set.train))
    dtype = next((parameter.dtype for parameter in model.parameters()), torch.get_default_dtype())
    return InMemoryData(data_set, batch_size, seed, dtype, labelled_per_batch, balanced)


def _restore(model: nn.Module, checkpoint: str) -> None:
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")["state_dict"]
    own = {name: value for name, value in state.items() if name.startswith("model.")}
    model.load_state_dict({name.removeprefix("model."): value for name, value in own.items()})
