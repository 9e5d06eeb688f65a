"""The loss of one part of a training step as a module, eager or compiled."""

from __future__ import annotations

from torch import Tensor, nn

from pyro_mixvae.infer.param_statements import without_param_statements
from pyro_mixvae.infer.update import Terms, Update


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
