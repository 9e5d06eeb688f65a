"""Losses, gradients and parameters that are not finite: what is said of them, and how a batch is left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyro_mixvae.infer.update import Batch, Terms
from pyro_mixvae.training.errors import TrainingDiverged

#: What :func:`~pyro_mixvae.training.fit` may do with a batch whose loss or gradient is not finite.
ON_NAN = ("raise", "skip")
#: How many rows of a batch, or parameters, are named.
NAMED = 3


class BatchGuard:
    """Takes back what a batch that is left out has done to a model's buffers, and counts it.

    A forward pass moves running statistics, which one NaN would spoil for good. Only where batches may be left out are
    buffers copied before each.

    Args:
        model: whose buffers are kept.
        how: one of :data:`ON_NAN`.

    Raises:
        ValueError: for another ``how``.
    """

    def __init__(self, model: nn.Module, how: str) -> None:
        if how not in ON_NAN:
            raise ValueError(f"on_nan: expected {' or '.join(map(repr, ON_NAN))}, got {how!r}")
        self.model, self.skips = model, how == "skip"
        #: batches left out, of training and of validation
        self.skipped = {"train": 0, "validation": 0}
        self._buffers: list[Tensor] = []

    def remember(self) -> None:
        """Copy the buffers, before a batch."""
        if self.skips:
            self._buffers = [buffer.clone() for buffer in self.model.buffers()]

    def leave_out(self, part: str) -> None:
        """Count a batch of that part, and put the buffers back."""
        self.skipped[part] += 1
        with torch.no_grad():
            for buffer, before in zip(self.model.buffers(), self._buffers, strict=True):
                # a buffer may have been given another shape by the batch
                buffer.resize_(before.shape).copy_(before)

    def taken(self, row: Mapping[str, float]) -> dict[str, float]:
        """The numbers of batches left out since the last call; nothing where none may be left out.

        Args:
            row: the means over the others.

        Raises:
            TrainingDiverged: where there are no others.
        """
        if not self.skips:
            return {}
        for part, number in self.skipped.items():
            if number and not any(name.startswith(f"{part}/") for name in row):
                raise TrainingDiverged(f"on_nan: all {number} {part} batches of an epoch are not finite, none is left")
        counts = {"skipped_batches": float(self.skipped["train"])}
        if self.skipped["validation"]:
            counts["skipped_validation_batches"] = float(self.skipped["validation"])
        self.skipped = dict.fromkeys(self.skipped, 0)
        return counts


def all_finite(tensors: Iterable[Tensor | None]) -> bool:
    """Whether every value is finite; what is None counts as finite."""
    return all(bool(torch.isfinite(value).all()) for value in tensors if value is not None)


def refuse_loss(
    name: str, loss: Tensor, terms: Terms, term_names: Mapping[str, str], where: str, why: str = ""
) -> None:
    """Name the terms, and their sites, by which a loss is not finite.

    Args:
        name: of the update whose loss it is.
        loss: 0-d.
        terms: the loss's terms by readable name.
        term_names: from sites to readable names.
        where: step, epoch and batch.
        why: what more is known, see :func:`causes`.

    Raises:
        TrainingDiverged: always.
    """
    if torch.isfinite(loss):
        raise TrainingDiverged(f"{name}: the loss of another process is not finite at {where}")
    sites = {label: site for site, label in term_names.items()}
    bad = [
        f"{label} (site '{sites.get(label, label)}') is {value.item():g}"
        for label, value in terms.items()
        if not torch.isfinite(value)
    ]
    said = [", ".join(bad) or "every term is finite, but not their sum"] if terms else []
    text = "; ".join([*said, *([why] if why else [])])
    raise TrainingDiverged(f"{name}: the loss is {loss.item():g} at {where}" + (f": {text}" if text else ""))


@torch.no_grad()
def causes(model: Any, objective: Any, batch: Batch, numbers: Sequence[int] | None = None) -> str:
    """Which data and parameters a loss that is not finite comes from, as far as can be told.

    Args:
        model: the pair.
        objective: its objective; asked for the terms of each datum, at new draws.
        batch: the data.
        numbers: of the batch's data in their data set.

    Returns:
        text without a full stop; empty where nothing is known.
    """
    found = [f"parameters that are not finite: {_listed(bad)}"] if (bad := _bad_parameters(model)) else []
    x = batch[0]
    rows = _bad_rows(x)
    if rows:
        found.append(f"x is not finite in {_rows(rows, len(x), numbers)}")
    elif not bad and hasattr(objective, "loss_and_terms"):
        try:
            _, terms = objective.loss_and_terms(model.model, model.guide, *batch, per_datum=True)
        except (ValueError, RuntimeError, NotImplementedError):
            terms = {}
        each = [term for term in terms.values() if term.shape == (len(x),)]
        rows = _bad_rows(torch.stack(each, dim=1)) if each else []
        if rows:
            found.append(f"it comes from {_rows(rows, len(x), numbers)}")
    return "; ".join(found)


def check_parameters(parameters: Iterable[tuple[str, Tensor]], where: str) -> None:
    """Stop before a checkpoint is written of parameters that a gradient that is not finite has moved.

    Raises:
        TrainingDiverged: names up to three of them.
    """
    bad = [name for name, value in parameters if not torch.isfinite(value).all()]
    if bad:
        raise TrainingDiverged(f"parameters are not finite after {where}, though the loss was: {_listed(bad)}")


def check_means(row: Mapping[str, float], epoch: int) -> None:
    """Stop at an epoch whose means are not finite, where losses are not looked at one by one.

    Raises:
        TrainingDiverged: names up to three of them.
    """
    bad = [name for name, value in row.items() if not torch.isfinite(torch.tensor(value))]
    if bad:
        raise TrainingDiverged(f"means over epoch {epoch} are not finite: {_listed(bad)}")


def _bad_parameters(model: Any) -> list[str]:
    named = model.named_parameters() if isinstance(model, nn.Module) else ()
    return [name for name, value in named if not torch.isfinite(value).all()]


def _bad_rows(values: Tensor) -> list[int]:
    return (~torch.isfinite(values.reshape(len(values), -1)).all(1)).nonzero().flatten().tolist()


def _rows(rows: list[int], num_data: int, numbers: Sequence[int] | None) -> str:
    if len(rows) == num_data:
        return f"all {num_data} data of the batch"
    text = f"{len(rows)} of the {num_data} data of the batch, rows {_listed(rows)}"
    return text if numbers is None else f"{text} (data {_listed([numbers[row] for row in rows])} of the training data)"


def _listed(names: Sequence[Any]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(str, names[:NAMED])) + more
