"""Networks by description, so that a model's configuration is JSON."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from pyro_mixvae.nn.conv import ConvDecoder, ConvEncoder
from pyro_mixvae.nn.mlp import MLP

#: What a model takes for a network: a description such as ``{"kind": "mlp", "hidden_dims": [500, 500]}``, or a module.
NetworkSpec = Mapping[str, Any] | nn.Module

KINDS: dict[str, Callable[..., nn.Module]] = {"mlp": MLP, "conv": ConvEncoder, "deconv": ConvDecoder}


def build_network(spec: NetworkSpec, in_shape: Sequence[int], out_shape: Sequence[int], name: str) -> nn.Module:
    """The network that ``spec`` describes, mapping [\\*, \\*in_shape] to [\\*, \\*out_shape].

    Args:
        spec: ``{"kind": ..., **options}`` (``kind`` defaults to ``"mlp"``), or a user's own module with those shapes.
        in_shape: shape of one input.
        out_shape: shape of one output.
        name: the argument's name, for error messages.

    Raises:
        ValueError: for an unknown kind or option; the message holds the nearest right name.
    """
    if isinstance(spec, nn.Module):
        return spec
    if not isinstance(spec, Mapping):
        raise ValueError(f"{name}: expected a mapping such as {{'kind': 'mlp'}} or a torch module, got {spec!r}")
    options = dict(spec)
    kind = options.pop("kind", "mlp")
    if kind not in KINDS:
        near = difflib.get_close_matches(str(kind), KINDS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{name}: unknown kind of network {kind!r}, expected one of {', '.join(KINDS)}{hint}")
    try:
        return KINDS[kind](tuple(in_shape), tuple(out_shape), **options)
    except TypeError as error:
        raise ValueError(f"{name}: {error} (a network of kind {kind!r} was given {sorted(options)})") from error
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
