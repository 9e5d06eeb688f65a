"""The importance-weighted bound."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from opt_einsum import shared_intermediates
from pyro import poutine
from pyro.distributions.util import detach, is_identically_zero
from pyro.infer.util import is_validation_enabled
from pyro.ops import packed
from pyro.ops.contract import contract_to_tensor
from pyro.ops.rings import LogRing
from pyro.poutine import Trace
from pyro.poutine.indep_messenger import CondIndepStackFrame
from pyro.poutine.util import prune_subsample_sites
from pyro.util import check_model_guide_match, check_site_shape
from torch import Tensor

from pyro_mixvae.distributions.precision import own_precision
from pyro_mixvae.infer.loss_and_terms import LossAndTermsELBO
from pyro_mixvae.infer.site import PARTICLES, score_function
from pyro_mixvae.infer.terms import symbols_of

ESTIMATORS = ("standard", "dreg")


class ImportanceWeightedELBO(LossAndTermsELBO):
    r"""A bound on log p(x) that k draws make tighter than one.

    .. math::

        \mathcal{L}_k = \mathbb{E} \log \frac1k \sum_{i=1}^k w_i, \qquad
        w_i = \frac{p(x, z_i)}{q(z_i \mid x)}, \quad z_i \sim q(z \mid x)

    summed over the data of the plate ``"data"``, each of which has weights of its own. It is the evidence lower bound
    for k = 1, grows with k and approaches log p(x). Discrete sites marked ``infer={"enumerate": "parallel"}``, in the
    guide or in the model, are summed out of each weight; the guide's probabilities of them play no part.

    ``"dreg"`` is another estimator of the same gradient, the doubly reparameterised one: for the guide's parameters

    .. math:: \sum_i \tilde w_i^2 \, \frac{\partial \log w_i}{\partial z_i} \frac{\partial z_i}{\partial \phi},
        \qquad \tilde w_i = \frac{w_i}{\sum_j w_j}

    whose signal does not drown in noise as k grows; for the model's, the standard one.

    Args:
        num_samples: k.
        estimator: of the gradient, ``"standard"`` or ``"dreg"``.
        max_plate_nesting: depth of the plates in model and guide; guessed from a first run if left out.

    Raises:
        ValueError: for k below 1 or an unknown estimator; when run, for sites outside the plate of data (one weight
            would belong to all data together), sites of different scales, a guide that draws what can be neither
            reparameterised nor enumerated, or a guide that ``"dreg"`` is not right for: one whose sites depend on each
            other.

    Example:
        >>> import torch, pyro, pyro.distributions as dist
        >>> x = torch.tensor([0.5, -1.0])
        >>> def model(x):
        ...     with pyro.plate("data", 2):
        ...         z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0))
        ...         pyro.sample("x", dist.Normal(z, 1.0), obs=x)
        >>> def guide(x):  # the exact posterior, so that every weight is p(x)
        ...     with pyro.plate("data", 2):
        ...         pyro.sample("z", dist.Normal(x / 2, 0.5 ** 0.5))
        >>> exact = dist.Normal(0.0, 2 ** 0.5).log_prob(x).sum()
        >>> loss = ImportanceWeightedELBO(5, max_plate_nesting=1).loss(model, guide, x)
        >>> abs(loss + exact.item()) < 1e-5
        True

    Source: Burda, Grosse, Salakhutdinov (2016); Tucker, Lawson, Gu, Maddison (2019), equation 8.
    """

    def __init__(
        self, num_samples: int, estimator: str = "standard", *, max_plate_nesting: float = float("inf")
    ) -> None:
        if not isinstance(num_samples, int) or num_samples < 1:
            raise ValueError(f"num_samples: expected an integer >= 1, got {num_samples!r}")
        if estimator not in ESTIMATORS:
            raise ValueError(f"estimator: expected one of {', '.join(ESTIMATORS)}, got {estimator!r}")
        super().__init__(
            num_particles=num_samples,
            max_plate_nesting=max_plate_nesting,
            vectorize_particles=True,
            strict_enumeration_warning=False,
        )
        self.num_samples, self.estimator = num_samples, estimator
        self._independent_guide: Any = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.num_samples}, {self.estimator!r})"

    def loss_and_terms(
        self,
        model: Callable[..., Any],
        guide: Callable[..., Any],
        *args: Any,
        per_datum: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        r"""The negative bound and what it consists of.

        With the normalised weights of the draws it is, datum by datum,

        .. math:: -\sum_i \tilde w_i \log p(x \mid z_i) + \sum_i \tilde w_i \log \frac{q(z_i \mid x)}{p(z_i)}
            + \sum_i \tilde w_i \log (k \tilde w_i)

        Args:
            model, guide: the pair, called with the remaining arguments.
            per_datum: keep each term's plate ``"data"``.

        Returns:
            the loss (0-d, nats) and a dictionary of its terms, without gradients: the weighted mean of each site's
            cost by name (those of enumerated sites and what depends on them as one, joined by ``+``), and
            ``"weights"``, how far the weights are from equal, >= 0; 0-d, or [B] with ``per_datum``. They sum to the
            loss.
        """
        if self._independent_guide != guide:
            self._independent_guide = None
        ((model_trace, guide_trace),) = self._get_traces(model, guide, args, kwargs)
        if self.estimator == "dreg" and torch.is_grad_enabled():
            self._independent_guide = guide
        plates = _Plates.of(model_trace, guide_trace)
        scale = _common_scale(model_trace, guide_trace)
        parts = _log_weights(model_trace, guide_trace, plates)
        log_weights = torch.stack(list(parts.values())).sum(0)
        if self.estimator == "dreg" and log_weights.requires_grad:
            _square_weights(guide_trace, log_weights.detach().softmax(0), plates)
        log_k = math.log(self.num_samples)
        loss = -scale * (log_weights.logsumexp(0) - log_k).sum()

        log_shares = log_weights.detach().log_softmax(0)
        shares = log_shares.exp()
        terms = {name: -(shares * part.detach()).sum(0) for name, part in parts.items()}
        terms["weights"] = torch.special.entr(shares).sum(0).neg() + log_k
        if not per_datum or plates.data is None:
            terms = {name: term.sum() for name, term in terms.items()}
        return loss, {name: scale * term for name, term in terms.items()}

    # --- traces ------------------------------------------------------------------------------------------------------

    def _get_trace(self, model: Any, guide: Any, args: Any, kwargs: Any) -> tuple[Trace, Trace]:
        guide_trace = prune_subsample_sites(poutine.trace(guide).get_trace(*args, **kwargs))
        if torch.is_grad_enabled():
            self._check_reparameterised(guide_trace)
            if self.estimator == "dreg":
                self._separate(guide_trace)
        model_trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace(*args, **kwargs)
        model_trace = prune_subsample_sites(model_trace)
        if is_validation_enabled():
            check_model_guide_match(model_trace, guide_trace, self.max_plate_nesting)
        for trace in (model_trace, guide_trace):
            trace.compute_log_prob()
            if is_validation_enabled():
                for _, node in _sample_nodes(trace):
                    check_site_shape(node, self.max_plate_nesting)
        guide_trace.pack_tensors()
        model_trace.pack_tensors(guide_trace.plate_to_symbol)
        return model_trace, guide_trace

    def _check_reparameterised(self, guide_trace: Trace) -> None:
        for name, node in _sample_nodes(guide_trace):
            infer = node["infer"]
            if infer.get("enumerate") == "sequential" or infer.get("num_samples") is not None:
                raise ValueError(
                    f"site '{name}': an importance weight sums over all values at once; mark the site with "
                    "infer={'enumerate': 'parallel'}"
                )
            if infer.get("enumerate") or node["is_observed"]:
                continue
            if not node["fn"].has_rsample or not is_identically_zero(score_function(node["fn"], node["value"])):
                raise ValueError(
                    f"site '{name}': draws of {type(node['fn']).__name__} cannot be reparameterised; mark it with "
                    "infer={'enumerate': 'parallel'}, or take another objective"
                )

    def _separate(self, guide_trace: Trace) -> None:
        """Have the weights depend on the guide's parameters through its draws only."""
        latent = {name: node for name, node in _sample_nodes(guide_trace) if not node["infer"].get("enumerate")}
        if self._independent_guide is None:
            _check_independent(latent)
        for node in latent.values():
            node["fn"] = detach(node["fn"])
            # a view, so that a hook on it weights what comes from the weights, not from the guide's later sites
            node["value"] = node["value"].view_as(node["value"])


class _Plates(NamedTuple):
    """The plate of the draws and the plate of the data, where there are any."""

    particles: CondIndepStackFrame | None
    data: CondIndepStackFrame | None

    @classmethod
    def of(cls, model_trace: Trace, guide_trace: Trace) -> _Plates:
        """Find both, and refuse sites outside the plate of data."""
        stacks = {
            name: {frame.name: frame for frame in node["cond_indep_stack"] if frame.vectorized}
            for trace in (guide_trace, model_trace)
            for name, node in _sample_nodes(trace)
        }
        frames = {name: frame for stack in stacks.values() for name, frame in stack.items()}
        particles = frames.pop(PARTICLES, None)
        data = frames.get("data", next(iter(frames.values())) if len(frames) == 1 else None)
        for name, stack in stacks.items():
            if data is not None and data.name not in stack:
                raise ValueError(
                    f"site '{name}' lies outside the plate '{data.name}': importance weights of one datum cannot hold "
                    "what all data share"
                )
        return cls(particles, data)

    def aligned(self, value: Tensor, symbols: Mapping[str, str]) -> Tensor:
        """A packed tensor summed over all other plates: [k, B], or [1, B], [k, 1], [1, 1] where it does not vary."""
        own = symbols_of(value)
        kept = [None if frame is None else symbols[frame.name] for frame in self]
        summed = [dim for dim, symbol in enumerate(own) if symbol not in kept]
        value = value.sum(summed) if summed else value[...]
        own = "".join(symbol for symbol in own if symbol in kept)
        value = value.permute([own.index(symbol) for symbol in kept if symbol is not None and symbol in own])
        return value[tuple(slice(None) if symbol in own else None for symbol in map(str, kept))]

    def unaligned(self, value: Tensor) -> Tensor:
        """[k, B] with both dimensions where the plates have them."""
        frames = [frame for frame in self if frame is not None]
        shape = [1] * -min((frame.dim for frame in frames), default=0)
        for frame in frames:
            shape[frame.dim] = frame.size
        return value.reshape(shape)


def _log_weights(model_trace: Trace, guide_trace: Trace, plates: _Plates) -> dict[str, Tensor]:
    """The parts that log w is the sum of, by site, those that share enumerated variables contracted to one: [k, B]."""
    factors: list[tuple[str, frozenset[str], Tensor]] = []
    enumerated: set[str] = set()
    for trace, sign in ((model_trace, 1), (guide_trace, -1)):
        for name, node in _sample_nodes(trace):
            symbol = node["infer"].get("_enumerate_symbol")
            if symbol is not None:
                enumerated.add(symbol)
                if trace is guide_trace:
                    continue
            inside = packed.scale_and_mask(node["packed"]["unscaled_log_prob"], mask=node["packed"]["mask"])
            ordinal = frozenset(
                trace.plate_to_symbol[frame.name] for frame in node["cond_indep_stack"] if frame.vectorized
            )
            factors.append((name, ordinal, inside if sign > 0 else packed.neg(inside)))
    symbols = guide_trace.plate_to_symbol | model_trace.plate_to_symbol
    sizes = [1 if frame is None else frame.size for frame in plates]
    parts: dict[str, Tensor] = {}
    joint: OrderedDict[frozenset[str], list[Tensor]] = OrderedDict()
    joint_names: list[str] = []
    for name, ordinal, value in factors:
        if enumerated.isdisjoint(symbols_of(value)):
            part = plates.aligned(value, symbols).expand(sizes)
            parts[name] = parts[name] + part if name in parts else part
        else:
            joint.setdefault(ordinal, []).append(value)
            joint_names.append(name)
    if joint:
        kept = frozenset(symbols[frame.name] for frame in plates if frame is not None)
        parts["+".join(dict.fromkeys(joint_names))] = plates.aligned(_sum_out(joint, enumerated, kept), symbols).expand(
            sizes
        )
    return parts


def _sum_out(factors: OrderedDict[frozenset[str], list[Tensor]], enumerated: set[str], kept: frozenset[str]) -> Tensor:
    """The logarithm of the sum over enumerated variables of the product of factors, a packed tensor."""
    every = [value for values in factors.values() for value in values]
    sizes = {symbol: size for value in every for symbol, size in zip(symbols_of(value), value.shape, strict=True)}
    with shared_intermediates() as cache, own_precision(every[0]):
        ring = LogRing(cache=cache, dim_to_size=sizes)
        return contract_to_tensor(factors, enumerated & sizes.keys(), frozenset(kept & sizes.keys()), ring=ring)


def _square_weights(guide_trace: Trace, weights: Tensor, plates: _Plates) -> None:
    """Multiply what flows back through each draw by its weight; the log-sum-exp has done so once."""
    weights = plates.unaligned(weights)
    for _, node in _sample_nodes(guide_trace):
        if node["value"].requires_grad and not node["infer"].get("enumerate"):
            factor = weights.reshape(weights.shape + (1,) * node["fn"].event_dim)
            node["value"].register_hook(lambda gradient, factor=factor: gradient * factor)


def _check_independent(latent: Mapping[str, dict[str, Any]]) -> None:
    """Refuse a guide one of whose sites depends on another's draw, or on an enumerated variable."""
    for name, node in latent.items():
        depth = max((-frame.dim for frame in node["cond_indep_stack"] if frame.vectorized), default=0)
        others = {other: n["value"] for other, n in latent.items() if other != name and n["value"].requires_grad}
        log_prob = node["fn"].log_prob(node["value"].detach()).sum()
        needed: tuple[Tensor | None, ...] = ()
        if others and log_prob.requires_grad:
            needed = torch.autograd.grad(log_prob, list(others.values()), retain_graph=True, allow_unused=True)
        on = [other for other, gradient in zip(others, needed, strict=False) if gradient is not None]
        if len(node["fn"].batch_shape) > depth:
            on.append("an enumerated variable")
        if on:
            raise ValueError(
                f"estimator: 'dreg' is for guides whose sites are independent given the data; '{name}' depends on "
                f"{', '.join(on)}; use 'standard'"
            )


def _common_scale(model_trace: Trace, guide_trace: Trace) -> float | Tensor:
    """The one scale of all sites, which multiplies the bound, not what is inside its logarithm."""
    nodes = [*_sample_nodes(model_trace), *_sample_nodes(guide_trace)]
    scale = nodes[0][1]["scale"]
    for name, node in nodes:
        own = node["scale"]
        if (isinstance(own, Tensor) and own.dim()) or own != scale:
            raise ValueError(f"site '{name}': its scale is {own}; an importance weight needs one for all sites")
    return scale


def _sample_nodes(trace: Trace) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, node in trace.nodes.items():
        if node["type"] == "sample":
            yield name, node
