"""An objective bound to a model/guide pair, as a module that a torch optimiser can train."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pyro import poutine
from pyro.infer.elbo import ELBOModule
from torch import Tensor

from pyro_mixvae.infer.param_statements import without_param_statements


class OwningELBOModule(ELBOModule):
    """Pyro's own module of an ELBO, with all the parameters that it trains.

    Pyro finds the parameters of a model or guide that *is* a module; this class also registers the owner of a bound
    method, so that ``parameters()``, ``train()`` and ``to()`` reach a model whose ``model`` and ``guide`` are two
    methods of one object. Handlers around either, such as ``poutine.scale(m.model, 0.1)``, are looked through.
    """

    def __init__(self, model: Callable[..., Any], guide: Callable[..., Any], elbo: Any) -> None:
        super().__init__(model, guide, elbo)
        unwrapped = [poutine.unwrap(fn) for fn in (model, guide)]
        owners = [getattr(fn, "__self__", fn) for fn in unwrapped]
        modules = [owner for owner in owners if isinstance(owner, torch.nn.Module)]
        self.owners = torch.nn.ModuleList(dict.fromkeys(modules))

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        with without_param_statements():
            return super().forward(*args, **kwargs)


class DivergenceELBOModule(OwningELBOModule):
    """What ``elbo(model, guide)`` returns: ``loss = module(x); loss.backward()``.

    Attributes:
        last_terms: detached terms of the last call by site, each summed over the batch, in nats.
    """

    def __init__(self, model: Callable[..., Any], guide: Callable[..., Any], elbo: Any) -> None:
        super().__init__(model, guide, elbo)
        self.last_terms: dict[str, Tensor] = {}

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        with without_param_statements():
            loss, terms = self.elbo.loss_and_terms(self.model, self.guide, *args, **kwargs)
        self.last_terms = {name: term.detach() for name, term in terms.items()}
        return loss
