"""An ELBO whose divergence is chosen site by site."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from itertools import chain
from typing import Any

import torch
from pyro import poutine
from pyro.distributions import MaskedDistribution
from pyro.distributions.score_parts import ScoreParts
from pyro.distributions.util import scale_and_mask
from pyro.infer.util import is_validation_enabled
from pyro.poutine import Trace
from pyro.poutine.util import prune_subsample_sites
from pyro.util import check_model_guide_match, check_site_shape, check_traceenum_requirements
from torch import Tensor

from pyro_mixvae.infer.free_bits import FreeBits
from pyro_mixvae.infer.loss_and_terms import LossAndTermsELBO
from pyro_mixvae.infer.packing import enumerated_in_model, pack_log_probs
from pyro_mixvae.infer.site import Site, list_as_sampled, score_function
from pyro_mixvae.infer.site_divergence import DefaultKL, SiteDivergence
from pyro_mixvae.infer.terms import Cost, GuideExpectation, guide_costs, model_costs, symbols_of


class TraceDivergence_ELBO(LossAndTermsELBO):
    r"""Reconstruction less one chosen divergence for each latent site.

    .. math::

        \mathcal{L} = \mathbb{E}_q \Big[ \log p(x \mid z) - \sum_s D_s\big(q(z_s \mid \cdot), p(z_s \mid \cdot)\big)
        \Big]

    Sites left out take the KL, in closed form where torch has one; with no divergence named, this is an evidence lower
    bound with the same expectation as Pyro's ELBOs and less noise. Discrete sites marked ``infer={"enumerate":
    "parallel"}`` are summed out, in the guide (a divergence that depends on one is weighted by the guide's
    probabilities) or in the model. Use :class:`~pyro.infer.TraceEnum_ELBO` instead where every term is to share the
    guide's draw, which gives a tighter but usually noisier bound; use :class:`~pyro.infer.Trace_ELBO` where nothing
    is enumerated and nothing has a closed form.

    Args:
        divergences: by site name. Sites left out take :class:`KL`, but the sampled log-ratio where p may depend on a
            variable that the guide draws only after the site: there the closed form gives another objective (the
            GMVAE's equation 4 is one), which has to be asked for.
        num_particles: Monte Carlo draws that are averaged.
        max_plate_nesting: depth of the plates in model and guide; guessed from a first run if left out.
        vectorize_particles: draw all particles in one run (a plate to the left of the model's own) or one by one.

    Attributes:
        sampled_sites: names of the latent sites whose divergence was estimated from the draw in the last evaluation,
            because no closed form is registered, because it depends on a variable that the model enumerates or that
            the guide draws later, or because guide and model scale or mask the site differently.

    Raises:
        ValueError: for something other than a :class:`SiteDivergence`; when run, for a divergence at a site that the
            guide does not have, for one that depends on a model-enumerated variable, or for a site whose scale or
            mask differs between guide and model.

    Example:
        >>> import torch, pyro, pyro.distributions as dist
        >>> from pyro_mixvae.infer import KL
        >>> x = torch.tensor([0.5, -1.0])
        >>> def model(x):
        ...     with pyro.plate("data", 2):
        ...         z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0))
        ...         pyro.sample("x", dist.Normal(z, 1.0), obs=x)
        >>> def guide(x):
        ...     with pyro.plate("data", 2):
        ...         pyro.sample("z", dist.Normal(x / 2, 0.5 ** 0.5))
        >>> elbo = TraceDivergence_ELBO({"z": 0.5 * KL()}, max_plate_nesting=1)
        >>> loss, terms = elbo.loss_and_terms(model, guide, x)
        >>> sorted(terms)
        ['x', 'z']
        >>> round(terms["z"].item(), 4)  # half of the summed KL
        0.1747
    """

    def __init__(
        self,
        divergences: Mapping[str, SiteDivergence] | None = None,
        *,
        num_particles: int = 1,
        max_plate_nesting: float = float("inf"),
        vectorize_particles: bool = True,
    ) -> None:
        if num_particles < 1:
            raise ValueError(f"num_particles: expected an integer >= 1, got {num_particles}")
        if not isinstance(divergences, Mapping | None):
            raise ValueError(f"divergences: expected a mapping by site name such as {{'z': KL()}}, got {divergences!r}")
        self.divergences = dict(divergences or {})
        for name, divergence in self.divergences.items():
            if not isinstance(divergence, SiteDivergence):
                raise ValueError(
                    f"divergences['{name}']: expected a SiteDivergence such as KL() or 0.5 * CauchySchwarz(), got "
                    f"{divergence!r}; SiteDivergence(fn) wraps a function of (q, p)"
                )
            if num_particles > 1 and not vectorize_particles and _holds_free_bits(divergence):
                raise ValueError(
                    f"divergences['{name}']: FreeBits takes its mean over the particles and needs them in one run; "
                    "set vectorize_particles=True"
                )
        super().__init__(
            num_particles=num_particles,
            max_plate_nesting=max_plate_nesting,
            vectorize_particles=vectorize_particles and num_particles > 1,
            strict_enumeration_warning=False,
        )
        self.sampled_sites: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.divergences!r}, num_particles={self.num_particles})"

    def weighted(self, weights: Mapping[str, Tensor]) -> TraceDivergence_ELBO:
        """The same objective with some sites' divergences multiplied by 0-d tensors, which a warm-up moves."""
        scaled = {name: weight * self.divergences.get(name, _DEFAULT) for name, weight in weights.items()}
        clone = type(self).__new__(type(self))
        clone.__dict__.update(self.__dict__)
        clone.divergences = {**self.divergences, **scaled}
        return clone

    def loss_and_terms(
        self,
        model: Callable[..., Any],
        guide: Callable[..., Any],
        *args: Any,
        per_datum: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The negative objective and its terms by site.

        Args:
            model, guide: the pair, called with the remaining arguments.
            per_datum: keep each term's plate ``"data"``.

        Returns:
            the loss (0-d) and a dictionary of its terms: the negative expected log-probability of an observed site,
            the weighted divergence of a latent one; 0-d, or [B] with ``per_datum`` where the site lies in the plate
            ``"data"``. The terms sum to the loss. Nats.
        """
        terms: dict[str, Tensor] = {}
        sampled: list[str] = []
        for model_trace, guide_trace in self._get_traces(model, guide, args, kwargs):
            sampled += [name for name, node in guide_trace.nodes.items() if node.get("sampled")]
            expectation = GuideExpectation(guide_trace)
            for cost in chain(model_costs(model_trace, guide_trace), guide_costs(guide_trace)):
                value = expectation(cost)
                value = _per_datum(value, cost, guide_trace.plate_to_symbol) if per_datum else value.sum()
                value = -value if self.num_particles == 1 else value / -self.num_particles
                terms[cost.name] = terms[cost.name] + value if cost.name in terms else value
        self.sampled_sites = tuple(dict.fromkeys(sampled))
        if not terms:
            raise ValueError("model and guide have no sample sites, so there is nothing to compare")
        loss = reduce(torch.add, (term.sum() if term.dim() else term for term in terms.values()))
        return loss, terms

    # --- traces ----------------------------------------------------------------------------------------------------

    def _get_trace(self, model: Any, guide: Any, args: Any, kwargs: Any) -> tuple[Trace, Trace]:
        guide_trace = poutine.trace(guide).get_trace(*args, **kwargs)
        model_trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace(*args, **kwargs)
        if is_validation_enabled():
            check_model_guide_match(model_trace, guide_trace, self.max_plate_nesting)
        guide_trace, model_trace = prune_subsample_sites(guide_trace), prune_subsample_sites(model_trace)
        self._insert_divergences(model_trace, guide_trace)
        model_trace.compute_log_prob()
        guide_trace.compute_score_parts()
        if is_validation_enabled():
            for trace in (model_trace, guide_trace):
                for node in trace.nodes.values():
                    if node["type"] == "sample":
                        check_site_shape(node, self.max_plate_nesting)
            check_traceenum_requirements(model_trace, guide_trace)
        pack_log_probs(model_trace, guide_trace)
        return model_trace, guide_trace

    def _insert_divergences(self, model_trace: Trace, guide_trace: Trace) -> None:
        """Write ``-D`` where Pyro keeps the model's log-probability, before Pyro computes that itself."""
        shared = [
            name
            for name, node in guide_trace.nodes.items()
            if node["type"] == "sample" and name in model_trace and not model_trace.nodes[name]["is_observed"]
        ]
        self._check_names(shared, model_trace)
        enumerated_dims = [
            model_trace.nodes[name]["infer"]["_enumerate_dim"] for name in enumerated_in_model(model_trace, guide_trace)
        ]
        for name in shared:
            model_node, guide_node = model_trace.nodes[name], guide_trace.nodes[name]
            model_mask, guide_mask = _unwrap_mask(model_node), _unwrap_mask(guide_node)
            reason = _why_not_comparable(model_node, guide_node, model_mask, guide_mask, enumerated_dims)
            if reason:
                if name in self.divergences:
                    raise ValueError(f"divergences['{name}']: {reason}")
                list_as_sampled(guide_node)
                continue
            site = Site.from_traces(name, model_trace, guide_trace, mask=guide_mask)
            divergence = _evaluate(self.divergences.get(name, _DEFAULT), site)
            log_prob = model_node["unscaled_log_prob"] = -divergence
            model_node["log_prob"] = scale_and_mask(log_prob, model_node["scale"], guide_mask)
            _leave_to_model(guide_node, divergence)
            guide_node["divergence"] = True

    def _check_names(self, shared: list[str], model_trace: Trace) -> None:
        for name in self.divergences:
            if name in shared:
                continue
            node = model_trace.nodes.get(name, {})
            if node.get("infer", {}).get("_enumerate_dim") is not None:
                raise ValueError(
                    f"divergences['{name}']: the site is enumerated in the model, so there is no guide distribution to "
                    "compare; enumerate in the guide"
                )
            raise ValueError(
                f"divergences['{name}']: no latent site of that name in both model and guide; they share "
                f"{', '.join(map(repr, shared)) or 'none'}"
            )


_DEFAULT = DefaultKL()


def _evaluate(divergence: SiteDivergence, site: Site) -> Tensor:
    """The divergence over all the plates around the site; nothing is evaluated where all is masked."""
    value = divergence(site) if site.mask is not False else torch.zeros((), device=site.value.device)
    if value.shape[max(0, value.dim() - len(site.plate_shape)) :] == site.plate_shape:
        return value
    try:
        return value.expand(torch.broadcast_shapes(value.shape, site.plate_shape))
    except RuntimeError as error:
        raise ValueError(
            f"divergences['{site.name}']: {divergence!r} returned shape {tuple(value.shape)}, which does not broadcast "
            f"to the site's plates {tuple(site.plate_shape)}"
        ) from error


def _holds_free_bits(divergence: SiteDivergence) -> bool:
    parts = [part for part in vars(divergence).values() if isinstance(part, SiteDivergence)]
    return isinstance(divergence, FreeBits) or any(map(_holds_free_bits, parts))


def _unwrap_mask(node: dict[str, Any]) -> Any:
    """Move the mask of ``fn.mask(...)`` from the distribution to the site, where masks of handlers are."""
    mask = node["mask"]
    while isinstance(node["fn"], MaskedDistribution):
        own = node["fn"]._mask
        mask = own if mask is None else mask & own
        node["fn"] = node["fn"].base_dist
    node["mask"] = mask
    return mask


def _why_not_comparable(
    model_node: dict[str, Any],
    guide_node: dict[str, Any],
    model_mask: Any,
    guide_mask: Any,
    enumerated: list[int],
) -> str | None:
    """Why the two distributions at a site cannot be compared in closed form, or None where they can."""
    shapes = model_node["fn"].batch_shape, guide_node["fn"].batch_shape
    if any(len(shape) >= -dim and shape[dim] > 1 for dim in enumerated for shape in shapes):
        return "it depends on a variable that the model sums out inside a logarithm; enumerate in the guide"
    if not _same(model_node["scale"], guide_node["scale"]):
        return f"the model scales the site by {model_node['scale']}, the guide by {guide_node['scale']}"
    if not _same(_none_if_all(model_mask), _none_if_all(guide_mask)):
        return "the site's mask differs between model and guide"
    return None


def _same(first: Any, second: Any) -> bool:
    """Whether two scales, or two masks, are equal once they are broadcast; a mask that is a tensor is not None."""
    if first is second or first is None or second is None:
        return first is second
    if not isinstance(first, Tensor) and not isinstance(second, Tensor):
        return first == second
    first, second = torch.as_tensor(first), torch.as_tensor(second)
    try:
        first, second = torch.broadcast_tensors(first, second)
    except RuntimeError:
        return False
    return torch.equal(first, second.to(first))


def _none_if_all(mask: Any) -> Any:
    return None if mask is True else mask


def _leave_to_model(guide_node: dict[str, Any], divergence: Tensor) -> None:
    """The divergence holds the guide's log-probability; only a score function or enumeration weight is kept."""
    fn = guide_node["fn"]
    if fn.has_rsample and not guide_node["infer"].get("enumerate"):
        zero = divergence.new_zeros(()).expand(fn.batch_shape)
        guide_node["unscaled_log_prob"] = guide_node["log_prob"] = zero
        guide_node["score_parts"] = ScoreParts(zero, score_function(fn, guide_node["value"]), 0)


def _per_datum(value: Tensor, cost: Cost, plate_to_symbol: Mapping[str, str]) -> Tensor:
    """Sum a packed cost over everything but the plate ``"data"``."""
    symbol = plate_to_symbol.get("data")
    if symbol is None or symbol not in cost.ordinal:
        return value.sum()
    dims = symbols_of(value)
    summed = [position for position, dim in enumerate(dims) if dim != symbol]
    value = value.sum(summed) if summed else value[...]
    return value if symbol in dims else value.reshape(1)
