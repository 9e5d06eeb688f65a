"""What fit looks at before any work is lost: its arguments and the folder for its results."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.types import Optimizable
from lightning.pytorch import Trainer
from torch import Tensor, nn

from pyro_mixvae.models import MixtureVAE
from pyro_mixvae.training.processes import is_first_process
from pyro_mixvae.training.recipe import unknown

#: What Lightning refuses where steps are made by hand, and what does the same here.
INSTEAD = {"accumulate_grad_batches": "accumulate", "gradient_clip_val": "clip", "gradient_clip_algorithm": "clip"}


def prepare_folder(out: str | Path) -> Path:
    """The folder that results go to, made and tried before any work is lost.

    Raises:
        ValueError: if it cannot be made or written to.
    """
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not is_first_process():
            return folder
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ValueError(f"out: cannot write to {folder}: {error.strerror or error}") from error
    return folder


def check_seed(seed: Any) -> None:
    """Refuse what torch's generators do not take.

    Raises:
        ValueError: unless the seed is an integer from 0 to 2^64 - 1.
    """
    if not isinstance(seed, Integral) or not 0 <= int(seed) < 2**64:
        raise ValueError(f"seed: expected an integer from 0 to 2^64 - 1, got {seed!r}")


def check_counts(**counts: Any) -> None:
    """Refuse everything but integers >= 1, by the argument's name (a ``ValueError``)."""
    for name, value in counts.items():
        if not isinstance(value, Integral) or int(value) < 1:
            raise ValueError(f"{name}: expected an integer >= 1, got {value!r}")


def check_number_of_data(model: nn.Module, num_data: int) -> None:
    """Refuse another number of training data than a model was made for that has a posterior of what all data share.

    Raises:
        ValueError: for that.
    """
    shared = isinstance(model, MixtureVAE) and getattr(model, "xi", None) != "parameters"
    if shared and model.num_data not in (None, num_data):
        raise ValueError(
            f"num_data: {type(model).__name__} was made for {model.num_data} training data, got {num_data}; "
            "its posterior of what all data share, and the bound, count each of them"
        )


@contextmanager
def batch_norm_has_two(batch: Sequence[Tensor]) -> Iterator[None]:
    """Say what torch means where batch norm gets one datum.

    Raises:
        ValueError: for that.
    """
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            f"batch_size: a batch, the last perhaps, holds {len(batch[0])} datum, but batch norm takes means over "
            "data; choose a size that leaves two at least"
        ) from error


def check_numbers(**numbers: Any) -> None:
    """Refuse everything but finite numbers > 0, by the argument's name (a ``ValueError``)."""
    for name, value in numbers.items():
        if not isinstance(value, Real) or not 0 < float(value) < float("inf"):
            raise ValueError(f"{name}: expected a finite number > 0, got {value!r}")


def check_trainer(options: dict[str, Any], own: list[str]) -> None:
    """Refuse what is no argument of Lightning's trainer, or may not be set beside fit's ``own``.

    Raises:
        ValueError: names the argument and what does the same, or the nearest name.
    """
    known = list(inspect.signature(Trainer).parameters)
    for name in options:
        if name in INSTEAD:
            raise ValueError(f"{name}: fit makes its steps by hand; use {INSTEAD[name]}")
        if name not in known:
            # some names are both fit's and the trainer's
            raise ValueError(f"trainer: {unknown(name, list(dict.fromkeys(own + known)))}")
    if "limit_train_batches" in options and options["limit_train_batches"] == 0:
        raise ValueError(
            "limit_train_batches: expected a number of batches >= 1 or a share of them > 0, got "
            f"{options['limit_train_batches']!r}, which trains nothing"
        )


def check_objective(objective: Any) -> None:
    """Refuse what gives no loss that can be differentiated.

    Raises:
        ValueError: unless it is an object with ``loss_and_terms`` or ``differentiable_loss``.
    """
    methods = (getattr(objective, name, None) for name in ("loss_and_terms", "differentiable_loss"))
    if isinstance(objective, type) or not any(callable(method) for method in methods):
        raise ValueError(
            "objective: expected an ELBO object with loss_and_terms or differentiable_loss, e.g. Trace_ELBO(), got "
            f"{objective!r}"
        )


def check_optimizer(optimizer: Any, made: Any) -> None:
    """Refuse a function that makes something else of parameters than their optimiser, as Pyro's optimisers do.

    Raises:
        ValueError: for that.
    """
    if not isinstance(made, Optimizable):
        raise ValueError(
            f"optimizer: expected a function from parameters to a torch.optim.Optimizer, got {optimizer!r}, which "
            f"makes {made!r} of them"
        )
