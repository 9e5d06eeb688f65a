"""An objective whose two parts at one site are told apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pyro.distributions.util import scale_and_mask
from pyro.poutine import Trace
from torch import Tensor

from pyro_mixvae.infer.site import Site
from pyro_mixvae.infer.site_divergence import SiteDivergence
from pyro_mixvae.infer.trace_divergence_elbo import TraceDivergence_ELBO


class AggregatePosterior_ELBO(TraceDivergence_ELBO):
    r"""A :class:`TraceDivergence_ELBO` with one term for the batch as a whole and one for each datum at a site.

    .. math:: \mathcal{L} = \mathbb{E}_q \log p(x \mid z) - D_{\text{aggregate}} - D_{\text{individual}}

    It is ``TraceDivergence_ELBO({site: aggregate + individual})``, but ``loss_and_terms`` names the two parts
    ``<site>_aggregate`` and ``<site>_individual``, so that one sees which of them holds.

    Args:
        aggregate: such as ``AggregateKL()``.
        individual: such as ``IndividualKL()``.
        site: the latent site; it lies in no plate but ``"data"``.
        num_particles: Monte Carlo draws that are averaged.

    Raises:
        ValueError: as :class:`TraceDivergence_ELBO`.

    Example:
        >>> from pyro_mixvae.infer import AggregateKL, IndividualKL
        >>> AggregatePosterior_ELBO(AggregateKL(), 0.5 * IndividualKL()).divergences
        {'z': AggregateKL("exact") + 0.5 * IndividualKL()}

    Source: Rivera, *How to train your VAE*, equation 23 without its adversarial term.
    """

    def __init__(
        self, aggregate: SiteDivergence, individual: SiteDivergence, *, site: str = "z", num_particles: int = 1
    ) -> None:
        super().__init__({site: aggregate + individual}, num_particles=num_particles, max_plate_nesting=1)
        self.aggregate, self.individual, self.site = aggregate, individual, site
        self._individual: list[Tensor] = []

    def weighted(self, weights: Mapping[str, Tensor]) -> TraceDivergence_ELBO:
        if weights.keys() != {self.site}:
            return super().weighted(weights)
        weight = weights[self.site]
        parts = weight * self.aggregate, weight * self.individual
        return type(self)(*parts, site=self.site, num_particles=self.num_particles)

    def loss_and_terms(
        self,
        model: Callable[..., Any],
        guide: Callable[..., Any],
        *args: Any,
        per_datum: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        self._individual = []
        loss, terms = super().loss_and_terms(model, guide, *args, per_datum=per_datum, **kwargs)
        together = terms.pop(self.site)
        summed = [value.reshape(-1, value.shape[-1]).sum(0) if per_datum else value.sum() for value in self._individual]
        individual = sum(summed[1:], start=summed[0]) / self.num_particles
        self._individual = []
        parts = {f"{self.site}_aggregate": together - individual, f"{self.site}_individual": individual}
        return loss, {**terms, **parts}

    def _insert_divergences(self, model_trace: Trace, guide_trace: Trace) -> None:
        super()._insert_divergences(model_trace, guide_trace)
        node = model_trace.nodes[self.site]
        value = self.individual(Site.from_traces(self.site, model_trace, guide_trace))
        self._individual.append(scale_and_mask(value, node["scale"], node["mask"]))
