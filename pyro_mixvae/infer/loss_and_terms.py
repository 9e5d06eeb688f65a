"""What an ELBO is asked for, made from one method that gives the loss together with its terms."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from pyro.infer import TraceEnum_ELBO
from torch import Tensor

from pyro_mixvae.infer.elbo_module import DivergenceELBOModule


class LossAndTermsELBO(TraceEnum_ELBO):
    """An objective of a model/guide pair that knows its terms; a subclass defines :meth:`loss_and_terms`."""

    @abstractmethod
    def loss_and_terms(
        self,
        model: Callable[..., Any],
        guide: Callable[..., Any],
        *args: Any,
        per_datum: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The negative objective, summed over the data (0-d, nats), and its terms by site, which sum to it."""

    def __call__(self, model: Callable[..., Any], guide: Callable[..., Any]) -> DivergenceELBOModule:
        """Bind model and guide: a module whose parameters are the model's and the guide's."""
        return DivergenceELBOModule(model, guide, self)

    def loss(self, model: Callable[..., Any], guide: Callable[..., Any], *args: Any, **kwargs: Any) -> float:
        """The negative objective, summed over the data, in nats, as a float."""
        with torch.no_grad():
            return self.differentiable_loss(model, guide, *args, **kwargs).item()

    def differentiable_loss(
        self, model: Callable[..., Any], guide: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Tensor:
        """The negative objective, summed over the data, in nats, as a 0-d tensor."""
        return self.loss_and_terms(model, guide, *args, **kwargs)[0]

    def loss_and_grads(self, model: Callable[..., Any], guide: Callable[..., Any], *args: Any, **kwargs: Any) -> float:
        """Like :meth:`loss`, and adds the gradient of every parameter that took part to its ``.grad``."""
        loss = self.differentiable_loss(model, guide, *args, **kwargs)
        if loss.requires_grad:
            loss.backward(retain_graph=self.retain_graph)
        return loss.item()
