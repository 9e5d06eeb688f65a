"""The one Lightning module that trains every model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyro
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from pyro_mixvae.distributions.precision import own_precision
from pyro_mixvae.infer import compiled
from pyro_mixvae.infer.processes import number_of_processes
from pyro_mixvae.infer.update import Batch, Terms, Update, only_moving
from pyro_mixvae.training.checks import batch_norm_has_two, check_optimizer
from pyro_mixvae.training.compiled_step import after_step_of
from pyro_mixvae.training.epoch_means import EpochMeans
from pyro_mixvae.training.not_finite import BatchGuard, all_finite, causes, check_means, check_parameters, refuse_loss
from pyro_mixvae.training.processes import (
    any_process,
    check_strategy,
    gradients_kept_apart,
    own_random_stream,
    share_buffers,
    share_gradients,
)
from pyro_mixvae.training.resumable import ResumableModule
from pyro_mixvae.training.resume import check_settings, check_warmup, optimizer_settings
from pyro_mixvae.training.schedules import MakeOptimizer, MakeSchedule
from pyro_mixvae.training.update_loss import UpdateLoss, loss_per_datum
from pyro_mixvae.training.warmup import LinearWarmup

#: On an accelerator the loss is looked at only so often: every look waits for the device.
STEPS_BETWEEN_CHECKS = 50


class TrainingModule(ResumableModule):
    """Minimises a model's objective by hand-made steps, and logs the mean of every term at each epoch's end.

    Args:
        model: has ``model`` and ``guide``, and optionally ``updates()``, ``after_step(batch, step)`` (which is compiled
            too where ``after_step_compiles``) and ``epoch_metrics()``, numbers by name that join each epoch's row.
        objective: an ELBO object, ours or Pyro's.
        make_optimizer: from parameters to their optimiser.
        make_schedule: from an optimiser and the number of its steps in the whole training to a schedule that is
            advanced at each step; None: constant.
        warmup: see :class:`LinearWarmup`; needs one of our objectives.
        accumulate: batches whose gradients are averaged before an optimiser moves.
        clip: largest norm of an update's gradient; None: any.
        validation_objective: what held-out data are judged by; None: ``objective``.
        compile: compile each update's loss; what cannot be compiled is run eagerly, with a warning.
        settings: what the training is, as text by name; a checkpoint of another training is refused.
        on_nan: ``"skip"`` leaves out batches whose loss or gradient is not finite; ``"raise"`` ends the training.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Any,
        make_optimizer: MakeOptimizer,
        make_schedule: MakeSchedule | None = None,
        warmup: LinearWarmup | None = None,
        accumulate: int = 1,
        clip: float | None = None,
        validation_objective: Any = None,
        compile: bool = False,
        settings: Mapping[str, str] | None = None,
        on_nan: str = "raise",
    ) -> None:
        super().__init__(BatchGuard(model, on_nan), settings)
        self.automatic_optimization = False
        self.model = model
        self.objective = objective
        self.validation_objective = objective if validation_objective is None else validation_objective
        self.make_optimizer, self.make_schedule = make_optimizer, make_schedule
        self.warmup, self.accumulate, self.clip = warmup, accumulate, clip
        #: look at sites and shapes with Pyro's own checks at the first batch
        self.check_first = False
        #: data of the update's gradient so far, by update
        self._accumulated: dict[str, int] = {}
        self.weight = torch.tensor(1.0)
        self._training_objective = objective
        if warmup is not None:
            if any(update.loss is not None for update in own_updates(model)):
                raise ValueError(f"warmup: {type(model).__name__} makes its own updates, whose weights it decides")
            self._training_objective = self._warmed()
        self.updates = self._updates()
        self.after_step = after_step_of(model, compile)
        # in a plain list, since their parameters are the model's
        losses = [UpdateLoss(model, update) for update in self.updates]
        self.losses: list[Any] = [
            compiled(loss, fallback=True) if compile and loss.update.compiles else loss for loss in losses
        ]

    # --- set-up ----------------------------------------------------------------------------------------------------

    def _warmed(self) -> Any:
        """The objective with the divergences that are warmed up multiplied by :attr:`weight`."""
        if not hasattr(self.objective, "weighted"):
            raise ValueError(
                f"warmup: {type(self.objective).__name__} has no weights to warm up; use TraceDivergence_ELBO"
            )
        assert self.warmup is not None
        sites = list(self.objective.divergences) if self.warmup.sites is None else self.warmup.sites
        if not sites:
            raise ValueError("warmup.sites: the objective names no site, so say which are to be warmed up")
        return self.objective.weighted(dict.fromkeys(sites, self.weight))

    def _updates(self) -> list[Update]:
        def loss(batch: Batch) -> tuple[Tensor, Terms]:
            return loss_per_datum(self.model, self._training_objective, batch)

        if own := own_updates(self.model):
            return [update if update.loss is not None else replace(update, loss=loss) for update in own]
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        if not parameters:
            raise ValueError(f"model: {type(self.model).__name__} has no parameter that needs a gradient")
        return [Update("objective", parameters, loss)]

    def configure_optimizers(self) -> Any:
        optimizers = [self.make_optimizer(update.groups or update.parameters) for update in self.updates]
        for optimizer in optimizers:
            check_optimizer(self.make_optimizer, optimizer)
        if self.make_schedule is None:
            return optimizers
        total = self.num_steps()
        return optimizers, [self.make_schedule(optimizer, total) for optimizer in optimizers]

    def num_steps(self) -> int:
        """Optimiser steps in the whole training."""
        batches = self.trainer.estimated_stepping_batches
        if not math.isfinite(batches) or batches < 1:
            raise ValueError("max_epochs: a schedule or a warm-up needs a training of known length")
        return self._steps_per_epoch() * int(self.trainer.max_epochs or 1)

    def _steps_per_epoch(self) -> int:
        # the last step of an epoch is made with what is left over
        return math.ceil(int(self.trainer.num_training_batches) / self.accumulate)

    # --- one epoch -------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        check_strategy(self.trainer)
        # each process may have drawn a seed of its own
        if "seed" in self.settings:
            self.settings["seed"] = self.trainer.strategy.broadcast(self.settings["seed"])

    def on_fit_start(self) -> None:
        self.settings |= optimizer_settings(self.trainer.optimizers)
        if self._resumed:
            check_settings(self._resumed["settings"], self.settings)
            for logger in self.loggers:
                if callable(restore := getattr(logger, "restore", None)):
                    restore(self.history)

    def on_train_start(self) -> None:
        self.weight = self.weight.to(self.device)
        if not self._resumed:
            own_random_stream(self, int(self.settings.get("seed", 0)))
        if self.warmup is not None:
            self._training_objective = self._warmed()
            self.warm_steps = self.warmup.num_steps(self._steps_per_epoch(), self.num_steps())
            if self._resumed:
                check_warmup(self.warmup, self._steps_per_epoch(), self._resumed["settings"], self.settings)
        # in the middle of an epoch, on_train_epoch_start is not called
        if self._resumed.get("in_epoch"):
            self.go_on_in_epoch(self._resumed["in_epoch"])

    def on_train_epoch_start(self) -> None:
        self.begin_epoch()
        self.means = EpochMeans()

    def training_step(self, batch: Any, batch_index: int) -> None:
        batch = batch if isinstance(batch, tuple | list) else (batch,)
        if self.warmup is not None:
            self.weight.fill_(self.warmup.weight(self.step, self.warm_steps))
        last = (batch_index + 1) % self.accumulate == 0 or batch_index + 1 == self.trainer.num_training_batches
        # Lightning hands out one optimiser bare and several in a list
        optimizers = self.optimizers() if len(self.updates) > 1 else [self.optimizers()]
        self.guard.remember()
        good, moved = True, False
        # Pyro's checks would find a NaN, but not say where it comes from
        check = self.check_first and all_finite([*batch, *self.model.parameters()])
        with pyro.validation_enabled(check):
            for update, loss, optimizer in zip(self.updates, self.losses, optimizers, strict=True):
                # what comes after a loss that is not finite may rest on it
                good = good and self._add(update, loss, batch, batch_index)
                moved |= last and self._move(update, optimizer)
        self.check_first = self.check_first and not check
        if not good:
            self.guard.leave_out("train")
        if moved:
            schedules: Any = self.lr_schedulers() or []
            for schedule in schedules if isinstance(schedules, list) else [schedules]:
                schedule.step()
            if good and self.after_step is not None:
                self.after_step(batch, self.step)
            self.step += 1
        self.batches_done = batch_index + 1

    @property
    def _summed(self) -> bool:
        """Whether gradients are sums over data: batches may differ in size, and are divided by all before the step."""
        return self.accumulate > 1 or self.trainer.world_size > 1

    def _add(self, update: Update, loss_of: Any, batch: Batch, batch_index: int) -> bool:
        """Add a batch to an update's gradient; False where its loss is not finite and it is left out."""
        with only_moving(update, self.updates):
            with batch_norm_has_two(batch):
                loss = loss_of(*batch)
            terms = loss_of.last_terms
            if not self._check(update, loss, terms, batch, batch_index):
                return False
            # Lightning's autocast is around. It is for networks alone, and their layers are differentiated in the
            # precision that they computed in, with autocast or without
            with gradients_kept_apart(self.trainer), own_precision(loss):
                self.manual_backward(loss * len(batch[0]) if self._summed else loss)
        self.means.add(
            "train",
            {"loss" if len(self.updates) == 1 else update.name: loss.detach(), **terms},
            len(batch[0]),
        )
        self._accumulated[update.name] = self._accumulated.get(update.name, 0) + len(batch[0])
        return True

    def _move(self, update: Update, optimizer: Any) -> bool:
        """An update's step; False where there is none, since all its batches were left out."""
        number = self._accumulated.pop(update.name, 0)
        if not number:
            return False
        if self._summed:
            share_gradients(update.parameters, number)
        finite = not self.guard.skips or all_finite(parameter.grad for parameter in update.parameters)
        if finite:
            if self.clip is not None:
                clip_grad_norm_(update.parameters, self.clip)
            optimizer.step()
        else:
            self.guard.skipped["train"] += 1
        optimizer.zero_grad(set_to_none=True)
        return finite

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_index: int) -> None:
        if batch_index + 1 == self.trainer.num_training_batches:
            share_buffers(self.model)

    def validation_step(self, batch: Any, batch_index: int) -> None:
        batch = batch if isinstance(batch, tuple | list) else (batch,)
        loss, terms = loss_per_datum(self.model, self.validation_objective, batch)
        if (loss.device.type == "cpu" or self.guard.skips) and any_process(not torch.isfinite(loss), loss):
            if not self.guard.skips:
                where = (
                    f"batch {batch_index} of validation data after step {self.step - 1} (epoch {self.current_epoch})"
                )
                self._refuse("validation", loss, terms, batch, where)
            self.guard.skipped["validation"] += 1
            return
        self.means.add("validation", {"loss": loss, **terms}, len(batch[0]))

    def on_train_epoch_end(self) -> None:
        self.batches_done = 0
        check_parameters(self.model.named_parameters(), f"step {self.step - 1} (epoch {self.current_epoch})")
        row = self.means.means()
        check_means(row, self.current_epoch)
        row |= self.guard.taken(row)
        row["learning_rate"] = self.trainer.optimizers[0].param_groups[0]["lr"]
        if self.warmup is not None:
            row["warmup"] = self.weight.item()
        if callable(epoch_metrics := getattr(self.model, "epoch_metrics", None)):
            row |= epoch_metrics()
        self.history.append({"epoch": self.current_epoch, **row})
        together = {name: torch.tensor(value) for name, value in row.items()}
        self.log_dict(together, logger=False, sync_dist=number_of_processes() > 1)
        for logger in self.loggers:
            logger.log_metrics(row, step=self.current_epoch)

    # --- what is kept ----------------------------------------------------------------------------------------------

    def _check(self, update: Update, loss: Tensor, terms: Terms, batch: Batch, batch_index: int) -> bool:
        """Stop at a loss that is not finite, before the parameters are moved by it; or False: leave the batch out."""
        if loss.device.type != "cpu" and not self.guard.skips and self.step % STEPS_BETWEEN_CHECKS:
            return True
        if not any_process(not torch.isfinite(loss), loss):
            return True
        if not self.guard.skips:
            where = f"step {self.step} (epoch {self.current_epoch}, batch {batch_index})"
            numbers = getattr(self.trainer.train_dataloader, "numbers", None)
            self._refuse(update.name, loss, terms, batch, where, numbers(batch_index) if callable(numbers) else None)
        return False

    def _refuse(
        self, name: str, loss: Tensor, terms: Terms, batch: Batch, where: str, numbers: list[int] | None = None
    ) -> None:
        why = causes(self.model, self.objective, batch, numbers)
        refuse_loss(name, loss, terms, getattr(self.model, "term_names", {}), where, why)


def own_updates(model: nn.Module) -> list[Update]:
    """The updates that the model makes of a step; none where it leaves them to its objective."""
    updates = getattr(model, "updates", None)
    return list(updates()) if callable(updates) else []
