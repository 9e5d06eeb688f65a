"""Units of a network that no datum ever makes fire."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn


@torch.no_grad()
def dead_units(network: nn.Module, use: Callable[[Tensor], Any], x: Tensor, batch_size: int = 500) -> dict[str, float]:
    """The share of each ReLU layer's units that are zero for all data.

    Such a unit has no gradient and does not learn again: a network with many is smaller than it was meant to be. Where
    they are many, a smaller learning rate helps, batch norm, or an activation with a gradient everywhere
    (``activation: gelu``).

    Args:
        network: whose layers are looked at.
        use: what is done with a batch of data; it runs the layers, such as ``model.reconstruct``.
        x: data, ``[N, *event_shape]``.
        batch_size: data that go through the network at once.

    Returns:
        A number in 0..1 for each :class:`torch.nn.ReLU` that was run, by the layer's name. A unit is an entry of the
        layer's result along all but the first dimension, or a channel of ``[N, C, H, W]``.

    Raises:
        ValueError: if there are no data.

    >>> network = nn.Sequential(nn.Linear(1, 2), nn.ReLU())
    >>> _ = network[0].weight.data.copy_(torch.tensor([[1.0], [-1.0]])), network[0].bias.data.zero_()
    >>> dead_units(network, network, torch.tensor([[0.5], [2.0]]))
    {'1': 0.5}
    """
    if not len(x):
        raise ValueError("x: got no data; a unit is dead or not by what it gives for some")
    fired: dict[str, Tensor] = {}

    def look(name: str, layer: nn.Module, inputs: Any, output: Tensor) -> None:
        positive = output > 0
        fires = positive.flatten(2).any(2).any(0) if output.dim() == 4 else positive.any(0)
        fired[name] = fired[name] | fires if name in fired else fires

    handles = [
        layer.register_forward_hook(partial(look, name))
        for name, layer in network.named_modules()
        if isinstance(layer, nn.ReLU)
    ]
    try:
        for batch in x.split(batch_size):
            use(batch)
    finally:
        for handle in handles:
            handle.remove()
    return {name: (~fires).double().mean().item() for name, fires in fired.items()}
