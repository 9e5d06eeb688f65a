"""Going on with a training that was stopped: where it stands, and whether it is the same training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.optim import Optimizer

from pyro_mixvae.training.checkpoints import FOLDER, LAST
from pyro_mixvae.training.processes import from_all_processes, own_random_stream
from pyro_mixvae.training.recipe import Recipe
from pyro_mixvae.training.warmup import LinearWarmup

#: What of a recipe's trainer section a resumed run may set anew: its length (never shorter), and what it runs on.
MAY_CHANGE = ("max_epochs", "accelerator", "devices", "strategy", "num_nodes", "max_time")


def find_checkpoint(place: str | Path) -> Path:
    """The checkpoint that a run folder was left with; a file is itself.

    Raises:
        ValueError: where there is none.
    """
    place = Path(place)
    path = place / FOLDER / LAST if place.is_dir() else place
    if not path.is_file():
        raise ValueError(f"resume: there is no checkpoint {path}")
    return path


def folder_of(checkpoint: Path) -> Path:
    """The run folder that a checkpoint lies in."""
    return checkpoint.parent.parent if checkpoint.parent.name == FOLDER else checkpoint.parent


# --- is it the same training? ----------------------------------------------------------------------------------------


def model_settings(model: Any) -> dict[str, str]:
    """The arguments a model was made with as text, where it keeps them."""
    config = getattr(model, "config", None)
    shown = {f"model.{name}": repr(value) for name, value in config.items()} if isinstance(config, Mapping) else {}
    # an object that shows its address looks different in each process
    return {name: text for name, text in shown.items() if " at 0x" not in text}


def optimizer_settings(optimizers: Iterable[Optimizer]) -> dict[str, str]:
    """Kind and options of optimisers as text; of a learning rate that a schedule moves, the first value."""
    settings = {}
    for number, optimizer in enumerate(optimizers):
        for index, group in enumerate(optimizer.param_groups):
            start = {"lr": group.get("initial_lr", group["lr"])} if "lr" in group else {}
            options = {**{name: value for name, value in group.items() if name != "params"}, **start}
            for name, value in {"class": type(optimizer).__name__, **options}.items():
                settings[f"optimizer {number}, group {index}, {name}"] = str(value)
    return settings


def check_settings(saved: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Refuse to go on with another training than the one that the checkpoint is of.

    Raises:
        ValueError: for a setting that differs, unless it is a larger ``max_epochs`` without a schedule.
    """
    for name in now:
        if name in saved and name != "max_epochs" and saved[name] != now[name]:
            raise ValueError(f"{name}: the training to resume has {saved[name]}, got {now[name]}")
    before, after = int(saved["max_epochs"]), int(now["max_epochs"])
    if after < before:
        raise ValueError(f"max_epochs: the training to resume has {before}, got {after}; it may only be longer")
    if after > before and saved["schedule"] != "None":
        raise ValueError(
            f"max_epochs: the training to resume has {before}, over which its schedule {saved['schedule']} runs, "
            f"got {after}"
        )


def check_warmup(warmup: LinearWarmup, steps_per_epoch: int, saved: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Refuse a longer training where the warm-up had been cut to the shorter one.

    Raises:
        ValueError: for that.
    """
    length = warmup.num_steps(steps_per_epoch)
    before, after = (int(settings["max_epochs"]) * steps_per_epoch for settings in (saved, now))
    if min(length, after) > before:
        raise ValueError(
            f"max_epochs: the training to resume has {saved['max_epochs']}, to which its warm-up of {length} steps was "
            f"cut, got {now['max_epochs']}"
        )


def check_recipe(saved: Recipe, now: Recipe) -> None:
    """The same for two recipes.

    Raises:
        ValueError: for a setting that a resumed run must not change.
    """
    for section, settings in saved.sections.items():
        for name in sorted({*settings, *now.sections[section]}):
            before, after = settings.get(name), now.sections[section].get(name)
            if before != after and not (section == "trainer" and name in MAY_CHANGE):
                raise ValueError(f"--{section}.{name}: the run to resume has {before!r}, got {after!r}")
    if saved.seed != now.seed:
        raise ValueError(f"--seed: the run to resume has {saved.seed}, got {now.seed}")


def run_options(folder: str | Path) -> dict[str, Any]:
    """What a run was started with beside its recipe: ``compile`` and ``data_dir``."""
    config = yaml.safe_load((Path(folder) / "config.yaml").read_text(encoding="utf-8"))
    options = config.get("options")
    return dict(options) if isinstance(options, dict) else {}


# --- random state ----------------------------------------------------------------------------------------------------


def random_states(module: LightningModule) -> dict[str, list[Tensor]]:
    """The state of torch's generators in all processes, by kind of device; all processes call it together."""
    states = {"cpu": torch.get_rng_state()}
    if module.device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(module.device)
    return {kind: from_all_processes(state.to(module.device)) for kind, state in states.items()}


def restore_random_states(module: LightningModule, states: Mapping[str, list[Tensor]], seed: int) -> None:
    """Put torch's generators where they were; a process that was not there before gets a stream of its own."""
    rank = module.global_rank
    if rank >= len(states["cpu"]):
        own_random_stream(module, seed)
        return
    torch.set_rng_state(states["cpu"][rank])
    if module.device.type == "cuda" and rank < len(states.get("cuda", [])):
        torch.cuda.set_rng_state(states["cuda"][rank], module.device)
