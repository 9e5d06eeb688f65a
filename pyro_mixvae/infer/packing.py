"""Tensors whose dimensions have names: Pyro's packing, of what an objective reads."""

from __future__ import annotations

from typing import Any

from pyro.distributions.score_parts import ScoreParts
from pyro.distributions.util import is_identically_zero
from pyro.ops.packed import pack
from pyro.poutine import Trace


def enumerated_in_model(model_trace: Trace, guide_trace: Trace) -> list[str]:
    """Names of the sites that are summed out in the model, under the logarithm."""
    return [
        name
        for name, node in model_trace.nodes.items()
        if node["type"] == "sample" and name not in guide_trace and node["infer"].get("_enumerate_dim") is not None
    ]


def pack_log_probs(model_trace: Trace, guide_trace: Trace) -> None:
    """Name the dimensions of all log-probabilities.

    Only a sum in the model needs all that Pyro packs. Else the sites whose divergence holds the guide's
    log-probability have nothing left to pack but a score function, and of the others each tensor is packed once.
    """
    if enumerated_in_model(model_trace, guide_trace):
        guide_trace.pack_tensors()
        model_trace.pack_tensors(guide_trace.plate_to_symbol)
        return
    guide_trace.symbolize_dims()
    model_trace.symbolize_dims(guide_trace.plate_to_symbol)
    for node in model_trace.nodes.values():
        if node["type"] == "sample":
            node["packed"] = {"log_prob": _packed(node, node["log_prob"])}
    for node in guide_trace.nodes.values():
        if node["type"] == "sample":
            log_prob, score_function, entropy_term = node["score_parts"]
            multiple = node["infer"].get("num_samples") is not None
            left = node.get("divergence") and is_identically_zero(score_function) and not multiple
            log_prob = log_prob if left else _packed(node, log_prob)
            score_function = _packed(node, score_function)
            node["packed"] = {
                "log_prob": log_prob,
                "score_parts": ScoreParts(log_prob, score_function, entropy_term),
            }


def _packed(node: dict[str, Any], value: Any) -> Any:
    try:
        return pack(value, node["infer"]["_dim_to_symbol"])
    except ValueError as error:
        raise ValueError(f"at site '{node['name']}': {error}") from error
