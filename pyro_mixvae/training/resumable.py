"""What of a training is kept in a checkpoint, and put back where it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningModule
from torch import Tensor

from pyro_mixvae.training.epoch_means import EpochMeans
from pyro_mixvae.training.history import History
from pyro_mixvae.training.not_finite import BatchGuard
from pyro_mixvae.training.resume import check_settings, random_states, restore_random_states


class ResumableModule(LightningModule):
    """A Lightning module that goes on bit for bit, from the end of an epoch or from the middle of one.

    Args:
        guard: counts batches that are left out.
        settings: what the training is, as text by name; a checkpoint of another training is refused.

    Attributes:
        step: how many times the optimisers have moved.
        batches_done: batches of the present epoch that have been trained on; 0 at its end.
        history: one row for each complete epoch.
        means: of the present epoch, so far.
    """

    def __init__(self, guard: BatchGuard, settings: Mapping[str, str] | None) -> None:
        super().__init__()
        self.guard, self.settings = guard, dict(settings or {})
        self.step, self.batches_done = 0, 0
        self.history, self.means = History(), EpochMeans()
        #: our part of the checkpoint, until it is put back
        self._resumed: dict[str, Any] = {}

    def get_extra_state(self) -> Tensor:
        """The history, part of the state so that processes that were forked hand it back with the weights."""
        return self.history.state()

    def set_extra_state(self, state: Tensor) -> None:
        self.history = History.of_state(state)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["pyro_mixvae"] = {
            "step": self.step,
            "history": self.history.state(),
            "settings": self.settings,
            "random": random_states(self),
        }
        if self.batches_done:
            state = getattr(self.trainer.train_dataloader, "state_dict", None)
            checkpoint["pyro_mixvae"]["in_epoch"] = {
                "means": self.means.of_all_processes(),
                "skipped": dict(self.guard.skipped),
                "loader": state() if callable(state) else {},
            }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._resumed = checkpoint["pyro_mixvae"]
        check_settings(self._resumed["settings"], self.settings)
        self.step, self.history = self._resumed["step"], History.of_state(self._resumed["history"])

    def begin_epoch(self) -> None:
        """Tell the loader which epoch it is, and put back torch's generators at the start of a resumed run."""
        if callable(set_epoch := getattr(self.trainer.train_dataloader, "set_epoch", None)):
            set_epoch(self.current_epoch)
        if self._resumed:
            restore_random_states(self, self._resumed["random"], int(self.settings.get("seed", 0)))
            self._resumed = {}
            # a loader that draws its order from torch's generator has done so before that was put back
            fetcher: Any = self.trainer.fit_loop._data_fetcher
            iter(fetcher)

    def go_on_in_epoch(self, stopped: Mapping[str, Any]) -> None:
        """Be where an epoch was stopped.

        Args:
            stopped: ``in_epoch`` of the checkpoint.

        Raises:
            ValueError: for another number of processes than it was stopped with.
        """
        if (before := len(stopped["means"])) != (now := self.trainer.world_size):
            raise ValueError(
                f"devices: the training to resume was stopped in the middle of an epoch with {before} processes and "
                f"goes on with as many, got {now}; from the end of an epoch it goes on with any number"
            )
        # Lightning does so too, but not where a schedule had to know the number of batches
        if stopped["loader"]:
            self.trainer.train_dataloader.load_state_dict(stopped["loader"])  # type: ignore[union-attr]
        self.begin_epoch()
        self.means = EpochMeans(stopped["means"][self.trainer.global_rank])
        self.guard.skipped |= stopped["skipped"]
