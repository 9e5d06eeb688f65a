"""The factorial mixture's objective: terms of all factors together, by what they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pyro.poutine import Trace
from pyro.poutine.messenger import Messenger
from torch import Tensor

from pyro_mixvae.infer import ConjugateKL, ExpectedCategoricalKL, ExpectedNormalKL, TraceConjugate_ELBO


class FactorialELBO(TraceConjugate_ELBO):
    r"""The bound (4a) to (4e) of a factorial mixture, everything but the likelihood in closed form.

    Sites are named by kind and factor, such as ``z_0``; the terms of one kind are added up: ``z`` is (4b), ``r`` (4c),
    ``components`` (4d), ``pi`` (4e), ``labels`` the weighted cross-entropy of the labels, ``x`` the reconstruction.
    xi itself is not drawn, since every term that depends on it is an expectation: the traces hold its mean.

    Args:
        num_factors: I.
        num_particles: Monte Carlo draws that are averaged.

    Source: Paquet, Ghaisas, Tieleman, equations 4 and 8.
    """

    def __init__(self, num_factors: int, num_particles: int = 1) -> None:
        divergences: dict[str, Any] = {}
        for i in range(num_factors):
            divergences[f"z_{i}"] = ExpectedNormalKL(f"components_{i}", f"r_{i}")
            divergences[f"r_{i}"] = ExpectedCategoricalKL(f"pi_{i}")
            divergences[f"components_{i}"] = ConjugateKL()
            divergences[f"pi_{i}"] = ConjugateKL()
        super().__init__(divergences, num_particles=num_particles, max_plate_nesting=1)

    def _get_trace(self, model: Any, guide: Any, args: Any, kwargs: Any) -> tuple[Trace, Trace]:
        return super()._get_trace(model, MeanInsteadOfDraw()(guide), args, kwargs)

    def weighted(self, weights: Mapping[str, Tensor]) -> TraceConjugate_ELBO:
        """The same objective with some terms multiplied by 0-d tensors; ``z`` stands for all factors' ``z_0``, ..."""
        by_site = {
            site: weight for name, weight in weights.items() for site in self.divergences if name in (site, kind(site))
        }
        unknown = [name for name in weights if name not in {*by_site, *map(kind, by_site)}]
        return super().weighted(by_site | {name: weights[name] for name in unknown})

    def loss_and_terms(
        self, model: Callable[..., Any], guide: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The negative bound and its terms by kind; see :meth:`TraceDivergence_ELBO.loss_and_terms`."""
        loss, by_site = super().loss_and_terms(model, guide, *args, **kwargs)
        terms: dict[str, Tensor] = {}
        for site, term in by_site.items():
            terms[kind(site)] = terms[kind(site)] + term if kind(site) in terms else term
        return loss, terms


class MeanInsteadOfDraw(Messenger):
    """Save the draws of each :class:`ConjugatePosterior`, thousands of Gamma variables that nobody reads."""

    def _pyro_sample(self, message: dict[str, Any]) -> None:
        if "posterior" in message["infer"] and message["value"] is None:
            # a component without data may have no mean
            message["value"] = message["fn"].mean.detach().nan_to_num(nan=0.0)


def kind(site: str) -> str:
    """What a site is, whichever factor it belongs to.

    >>> kind("z_0"), kind("r_1_unobserved"), kind("x")
    ('z', 'r', 'x')
    """
    return site.partition("_")[0]
