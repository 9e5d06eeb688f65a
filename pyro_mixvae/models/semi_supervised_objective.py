"""The objective of partly labelled data: one mean over those with a label and one over those without."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from pyro_mixvae.infer import SiteDivergence, TraceDivergence_ELBO
from pyro_mixvae.infer.processes import sum_over_processes

#: Sites that together are the divergence of y: of what is drawn, of what is observed, and a factor.
LABEL_SITES = ("y", "y_observed", "y_unobserved", "y_entropy", "y_divergence")


class SemiSupervisedELBO(TraceDivergence_ELBO):
    r"""The mean objective of labelled data plus the mean objective of unlabelled ones.

    .. math:: \mathcal{J} = \frac{1}{n_l} \sum_{n \text{ labelled}} \mathcal{L}_n
        + \frac{1}{n_u} \sum_{n \text{ unlabelled}} \mathcal{U}_n

    In Pyro's units: the loss is :math:`-|B| \mathcal{J}`, so that divided by the data it is :math:`-\mathcal{J}`, and
    a batch may mix both kinds. Where one kind is missing its mean is left out. Under data-parallel training n_l and
    n_u count the data of all processes.

    Args:
        divergences: as for :class:`~pyro_mixvae.infer.TraceDivergence_ELBO`.
        known: which data have a label, [B], from labels.
        num_particles: Monte Carlo draws that are averaged.

    Source: Tran, Pantic, Deisenroth, equation 27.
    """

    def __init__(
        self, divergences: Mapping[str, SiteDivergence], known: Callable[[Tensor], Tensor], num_particles: int = 1
    ) -> None:
        super().__init__(divergences, num_particles=num_particles, max_plate_nesting=1)
        self.known = known

    def loss_and_terms(
        self,
        model: Callable[..., Any],
        guide: Callable[..., Any],
        *args: Any,
        per_datum: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss and its terms: ``x``, ``z``, ``y`` (all of the labels' divergence) and ``classification``."""
        _, by_site = super().loss_and_terms(model, guide, *args, per_datum=True, **kwargs)
        y = args[1] if len(args) > 1 else kwargs.get("y")
        terms: dict[str, Tensor] = {}
        for site, term in by_site.items():
            name = "y" if site in LABEL_SITES else site
            terms[name] = terms[name] + term if name in terms else term
        if y is not None:
            weights = self.weights(y).to(terms["x"])
            terms = {name: weights * term for name, term in terms.items()}
        if not per_datum:
            terms = {name: term.sum() for name, term in terms.items()}
        loss = torch.stack([term.sum() for term in terms.values()]).sum()
        return loss, terms

    def weights(self, y: Tensor) -> Tensor:
        """What each datum counts, [B]: |B| / n_l with a label, |B| / n_u without."""
        known = self.known(y)
        counts = torch.stack([known.sum(), (~known).sum()]).to(torch.get_default_dtype())
        labelled, unlabelled = sum_over_processes(counts).unbind()
        total = labelled + unlabelled
        return torch.where(known, total / labelled.clamp(min=1), total / unlabelled.clamp(min=1))
