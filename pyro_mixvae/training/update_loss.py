"""The loss of one part of a training step as a module, eager or compiled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from pyro_mixvae.infer.param_statements import without_param_statements
from pyro_mixvae.infer.update import Batch, Terms, Update


class UpdateLoss(nn.Module):
    """An update's loss per datum, as a module with the model's parameters: ``loss = module(*batch)``.

    Attributes:
        last_terms: the terms of the last call, by readable name.
    """

    def __init__(self, model: nn.Module, update: Update) -> None:
        super().__init__()
        self.model, self.update = model, update
        self.last_terms: Terms = {}

    def forward(self, *batch: Tensor) -> Tensor:
        with without_param_statements():
            loss, terms = self.update.loss_and_terms(batch)
        self.last_terms = {name: term.detach() for name, term in terms.items()}
        return loss


def loss_per_datum(model: Any, objective: Any, batch: Batch) -> tuple[Tensor, Terms]:
    """An objective's loss per datum (0-d), and its terms by readable name where it has terms.

    Args:
        model: has ``model`` and ``guide``, and optionally ``num_data`` and ``term_names``.
        objective: an ELBO object, ours or Pyro's.
        batch: ``(x,)`` or ``(x, y)``.
    """
    # where the model has variables of all data, its plate scales a batch to all of them
    num_data = getattr(model, "num_data", None) or len(batch[0])
    if not hasattr(objective, "loss_and_terms"):
        return objective.differentiable_loss(model.model, model.guide, *batch) / num_data, {}
    loss, terms = objective.loss_and_terms(model.model, model.guide, *batch)
    names: Mapping[str, str] = getattr(model, "term_names", {})
    ordered = sorted(terms, key=lambda site: list(names).index(site) if site in names else len(names))
    return loss / num_data, {names.get(site, site): terms[site].detach() / num_data for site in ordered}
