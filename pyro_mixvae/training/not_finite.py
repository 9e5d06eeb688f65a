"""What to say of losses and parameters that are not finite."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from pyro_mixvae.infer.update import Terms
from pyro_mixvae.training.errors import TrainingDiverged


def refuse_loss(name: str, loss: Tensor, terms: Terms, term_names: Mapping[str, str], where: str) -> None:
    """Name the terms, and their sites, by which a loss is not finite.

    Args:
        name: of the update whose loss it is.
        loss: 0-d.
        terms: the loss's terms by readable name.
        term_names: from sites to readable names.
        where: step, epoch and batch.

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
    why = f": {', '.join(bad) or 'every term is finite, but not their sum'}" if terms else ""
    raise TrainingDiverged(f"{name}: the loss is {loss.item():g} at {where}{why}")


def check_parameters(parameters: Iterable[tuple[str, Tensor]], where: str) -> None:
    """Stop before a checkpoint is written of parameters that a gradient that is not finite has moved.

    Raises:
        TrainingDiverged: names up to three of them.
    """
    bad = [name for name, value in parameters if not torch.isfinite(value).all()]
    if bad:
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise TrainingDiverged(
            f"parameters are not finite after {where}, though the loss was: {', '.join(bad[:3])}{more}"
        )
