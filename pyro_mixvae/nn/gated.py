"""Linear layers with a gate."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GatedLinear(nn.Module):
    r"""A linear layer whose every output is multiplied by a gate in (0, 1): [\*, in] -> [\*, out].

    .. math:: h = (W x + b) \odot \sigma(V x + c)

    Args:
        in_features: size of one input.
        out_features: size of one output.
        bias: whether b is learned, or 0; the gate always has its c.

    Source: "GatedDense" in table VI of the Cauchy-Schwarz paper, after Dauphin et al. (2017).
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.value = nn.Linear(in_features, out_features, bias=bias)
        self.gate = nn.Linear(in_features, out_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.value(x) * torch.sigmoid(self.gate(x))
