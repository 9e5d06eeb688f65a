"""Networks by description, so that a model's configuration is JSON."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from pyro_mixvae.nn.conv import ConvDecoder, ConvEncoder
from pyro_mixvae.nn.mlp import MLP
from pyro_mixvae.nn.patchgan import PatchGAN
from pyro_mixvae.nn.resnet import ResNetDecoder, ResNetEncoder
from pyro_mixvae.nn.resnet18 import ResNet18
from pyro_mixvae.nn.upsample import UpsamplingDecoder

#: What a model takes for a network: a description such as ``{"kind": "mlp", "hidden_dims": [500, 500]}``, or a module.
NetworkSpec = Mapping[str, Any] | nn.Module

KINDS: dict[str, Callable[..., nn.Module]] = {
    "mlp": MLP,
    "conv": ConvEncoder,
    "deconv": ConvDecoder,
    "upsampling": UpsamplingDecoder,
    "resnet-18": ResNet18,
    "resnet-encoder": ResNetEncoder,
    "resnet-decoder": ResNetDecoder,
    "patchgan": PatchGAN,
}


def build_network(
    spec: NetworkSpec,
    in_shape: Sequence[int],
    out_shape: Sequence[int],
    name: str,
    kinds: Mapping[str, Callable[..., nn.Module]] = KINDS,
) -> nn.Module:
    """The network that ``spec`` describes, mapping [\\*, \\*in_shape] to [\\*, \\*out_shape].

    Args:
        spec: ``{"kind": ..., **options}`` (``kind`` defaults to ``"mlp"``), or a user's own module with those shapes.
            The option ``init`` of every kind is ``"torch"``, PyTorch's own start (the default), or ``"glorot"``.
        in_shape: shape of one input.
        out_shape: shape of one output.
        name: the argument's name, for error messages.
        kinds: what ``kind`` may be.

    Raises:
        ValueError: for an unknown kind, start or option; the message holds the nearest right name.
    """
    if isinstance(spec, nn.Module):
        return spec
    if not isinstance(spec, Mapping):
        raise ValueError(f"{name}: expected a mapping such as {{'kind': 'mlp'}} or a torch module, got {spec!r}")
    options = dict(spec)
    kind = options.pop("kind", "mlp")
    if kind not in kinds:
        near = difflib.get_close_matches(str(kind), kinds, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{name}: unknown kind of network {kind!r}, expected one of {', '.join(kinds)}{hint}")
    init = options.pop("init", "torch")
    if init not in ("torch", "glorot"):
        raise ValueError(f"{name}: init: expected 'torch' or 'glorot', got {init!r}")
    known = list(inspect.signature(kinds[kind]).parameters)[2:]
    for option in options:
        if option not in known:
            near = difflib.get_close_matches(str(option), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join([*known, 'init'])}"
            raise ValueError(f"{name}: a network of kind {kind!r} has no option {option!r}; {hint}")
    try:
        network = kinds[kind](tuple(in_shape), tuple(out_shape), **options)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from error
    if init == "glorot":
        network.apply(start_by_glorot)
    return network


@torch.no_grad()
def start_by_glorot(layer: nn.Module) -> None:
    r"""Weights uniform with variance :math:`2 / (n_{in} + n_{out})` and biases 0, in linear and convolutional layers.

    Source: Glorot, Bengio (2010), equation 16; the Cauchy-Schwarz paper's networks start so.
    """
    if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
