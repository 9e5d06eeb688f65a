"""Where a training's history goes besides ``metrics.csv``: loggers by name."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from lightning.pytorch.loggers.logger import Logger

from pyro_mixvae.training.metrics_file import MetricsFile
from pyro_mixvae.training.recipe import unknown
from pyro_mixvae.training.trainer import listed

#: Loggers by name, and which packages each needs one of.
LOGGERS: dict[str, tuple[str, ...]] = {"csv": (), "tensorboard": ("tensorboard", "tensorboardX"), "wandb": ("wandb",)}


def make_loggers(chosen: Any, folder: Path | None) -> list[Logger]:
    """Lightning's loggers for what a user chose; ``metrics.csv`` is written wherever there is a folder.

    Args:
        chosen: ``"csv"``, ``"tensorboard"`` or ``"wandb"``, a Lightning logger, several of these in a list, or None.
        folder: the run folder.

    Raises:
        ValueError: for an unknown name, a logger that writes files without a folder, or one whose package is missing.
    """
    loggers: list[Logger] = [MetricsFile(folder / "metrics.csv")] if folder else []
    for logger in listed(None if isinstance(chosen, bool) else chosen):
        if isinstance(logger, Logger):
            loggers.append(logger)
        elif made := _by_name(logger, folder):
            loggers.append(made)
    return loggers


def check_logger(chosen: Any, folder: Any) -> None:
    """Refuse, before any work, what :func:`make_loggers` cannot make.

    Raises:
        ValueError: as there.
    """
    for name in listed(None if isinstance(chosen, bool) else chosen):
        if isinstance(name, Logger):
            continue
        if name not in LOGGERS:
            raise ValueError(f"logger: {unknown(str(name), list(LOGGERS))}")
        if folder is None and name != "wandb":
            raise ValueError(f"logger: {name!r} writes files; give out, the folder for them")
        packages = LOGGERS[name]
        if packages and not any(importlib.util.find_spec(package) for package in packages):
            raise ValueError(f"logger: {name!r} needs a package that is missing: pip install {packages[0]}")


def _by_name(name: str, folder: Path | None) -> Logger | None:
    check_logger(name, folder)
    if name == "tensorboard":
        assert folder is not None
        return TensorBoardLogger(folder, name="", version="tensorboard", default_hp_metric=False)
    if name == "wandb":
        return WandbLogger(project="pyro_mixvae", save_dir=folder or ".")
    return None  # metrics.csv is there already
