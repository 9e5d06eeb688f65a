"""The expected cost of each site, kept apart by name until it is summed once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from opt_einsum import contract, shared_intermediates
from pyro.distributions.util import is_identically_zero
from pyro.infer.traceenum_elbo import _compute_model_factors
from pyro.infer.util import compute_site_dice_factor
from pyro.ops import packed
from pyro.ops.contract import contract_tensor_tree
from pyro.ops.rings import SampleRing
from pyro.poutine import Trace
from torch import Tensor

from pyro_mixvae.distributions.precision import own_precision
from pyro_mixvae.infer.packing import enumerated_in_model

Ordinal = frozenset[str]

LOG_SUM_PRODUCT = "pyro.ops.einsum.torch_log"


def symbols_of(tensor: Tensor) -> str:
    """The symbols of a packed tensor's dimensions, in their order."""
    return tensor._pyro_dims  # type: ignore[attr-defined]


def packed_as(tensor: Tensor, symbols: str) -> Tensor:
    """Name a tensor's dimensions as Pyro's packed tensors have it."""
    tensor._pyro_dims = symbols  # type: ignore[attr-defined]
    return tensor


class Cost(NamedTuple):
    """A packed tensor of log-probabilities, the site it came from and the plates it lies in."""

    name: str
    ordinal: Ordinal
    value: Tensor


class Factor(NamedTuple):
    """A guide site's weight in the expectation: the logarithm of its probability, or of its score factor."""

    ordinal: Ordinal
    own_symbol: str | None
    log_weight: Tensor


def model_costs(model_trace: Trace, guide_trace: Trace) -> Iterator[Cost]:
    """Log-probabilities of the model, those that share model-enumerated variables contracted to one marginal cost.

    A marginal is named after the enumerated sites, joined by ``+``.
    """
    if not enumerated_in_model(model_trace, guide_trace):
        for name, node in model_trace.nodes.items():
            if node["type"] == "sample":
                yield Cost(name, _ordinal(model_trace, node), node["packed"]["log_prob"])
        return
    _, log_factors, ordering, enumerated_symbols, scale = _compute_model_factors(model_trace, guide_trace)
    marginal = []
    for name, node in model_trace.nodes.items():
        if node["type"] != "sample":
            continue
        if name not in guide_trace and node["infer"].get("_enumerate_dim") is not None:
            marginal.append(name)
        elif enumerated_symbols.isdisjoint(node["packed"]["log_prob"]._pyro_dims) or not log_factors:
            yield Cost(name, ordering[name], node["packed"]["log_prob"])
    if log_factors:
        sizes = {
            symbol: size
            for factors in log_factors.values()
            for factor in factors
            for symbol, size in zip(symbols_of(factor), factor.shape, strict=True)
        }
        with shared_intermediates() as cache, own_precision(next(iter(log_factors.values()))[0]):
            ring = SampleRing(cache=cache, dim_to_size=sizes)
            contracted = contract_tensor_tree(log_factors, enumerated_symbols, ring=ring)
        for ordinal, tensors in contracted.items():
            for tensor in tensors:
                yield Cost("+".join(marginal), ordinal, packed.scale_and_mask(tensor, scale=scale))


def guide_costs(guide_trace: Trace) -> Iterator[Cost]:
    """Negative log-probabilities of the guide's sites, but for those whose divergence already holds them."""
    for name, node in guide_trace.nodes.items():
        if node["type"] == "sample" and not node.get("divergence"):
            yield Cost(name, _ordinal(guide_trace, node), packed.neg(node["packed"]["log_prob"]))


def _ordinal(trace: Trace, node: dict[str, Any]) -> Ordinal:
    return frozenset(trace.plate_to_symbol[frame.name] for frame in node["cond_indep_stack"] if frame.vectorized)


class GuideExpectation:
    r"""The expectation of a cost over the guide's enumerated and score-function sites, datum by datum.

    .. math:: \sum_c q(c) \, \text{cost}_c

    Reparameterised sites carry no factor; a site that cannot be reparameterised enters as
    :math:`\exp(\log q - \operatorname{sg} \log q)` (DiCE), whose value is one and whose gradient is the score
    function's.
    """

    def __init__(self, guide_trace: Trace) -> None:
        self.factors: list[Factor] = []
        self.log_counts: list[tuple[Ordinal, float]] = []
        self._weights: dict[tuple[Ordinal, frozenset[str]], Tensor | None] = {}
        for node in guide_trace.nodes.values():
            if node["type"] != "sample":
                continue
            ordinal = _ordinal(guide_trace, node)
            log_weight, log_count = compute_site_dice_factor(node)
            if not is_identically_zero(log_weight):
                exact = node["infer"].get("_enumerate_dim") is not None and not node["infer"].get("num_samples")
                own_symbol = node["infer"].get("_enumerate_symbol") if exact else None
                self.factors.append(Factor(ordinal, own_symbol, log_weight))
            if log_count:
                self.log_counts.append((ordinal, log_count))

    def __call__(self, cost: Cost) -> Tensor:
        """The weighted cost as a packed tensor: summed over all its dimensions, it is the expectation."""
        log_count = sum(count for ordinal, count in self.log_counts if not ordinal <= cost.ordinal)
        weight = self._weight(cost.ordinal, frozenset(symbols_of(cost.value)))
        value = cost.value
        if weight is not None:
            if symbols_of(value) != symbols_of(weight):
                value, weight = packed.broadcast_all(value, weight)
            # where the weight is exactly zero the cost may be infinite
            product = weight * torch.where(weight > 0, value, value.new_zeros(()))
            value = packed_as(product, symbols_of(value))
        if log_count:
            value = packed_as(value * math.exp(-log_count), symbols_of(value))
        return value

    def _weight(self, ordinal: Ordinal, cost_dims: frozenset[str]) -> Tensor | None:
        key = (ordinal, cost_dims)
        if key not in self._weights:
            self._weights[key] = self._contract(ordinal, cost_dims)
        return self._weights[key]

    def _contract(self, ordinal: Ordinal, cost_dims: frozenset[str]) -> Tensor | None:
        """The guide's probability of what the cost depends on; None where it is one."""
        factors = _without_leaves([f for f in self.factors if f.ordinal <= ordinal], cost_dims)
        if not factors:
            return None
        tensors = [factor.log_weight for factor in factors]
        symbols = "".join(sorted(set().union(*(symbols_of(tensor) for tensor in tensors))))
        kept = "".join(symbol for symbol in symbols if symbol in cost_dims or symbol in ordinal)
        if len(tensors) == 1 and kept == symbols:
            weight, symbols = tensors[0].exp(), symbols_of(tensors[0])
            return packed_as(weight, symbols)
        equation = ",".join(symbols_of(tensor) for tensor in tensors) + "->" + kept
        with own_precision(tensors[0]):
            weight = contract(equation, *tensors, backend=LOG_SUM_PRODUCT).exp()
        return packed_as(weight, kept)


def _without_leaves(factors: list[Factor], cost_dims: frozenset[str]) -> list[Factor]:
    """Drop each conditional probability that nothing else depends on: over its own variable it sums to one."""
    while True:
        for factor in factors:
            others = [symbols_of(other.log_weight) for other in factors if other is not factor]
            needed = cost_dims.union(*others)
            if factor.own_symbol is not None and factor.own_symbol not in needed:
                factors = [other for other in factors if other is not factor]
                break
        else:
            return factors
