"""The factorial mixture's bound written with broadcasts and plain loops, and small models to compare it on."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import kl_divergence

from pyro_mixvae.models import FactorialMixtureVAE

#: Concentrations of at least 1, where draws of xi do not underflow and stock objectives have a finite variance.
TAME = {"concentration": 2.0, "rate": 1.5}


def tiny_factorial(num_components: Any = (2, 3), **options: Any) -> FactorialMixtureVAE:
    network = {"kind": "mlp", "hidden_dims": [8]}
    defaults = {"num_data": 60, "latent_dim": 2, "likelihood": "normal", "hyperprior": TAME}
    defaults |= {"encoder": network, "decoder": network}
    return FactorialMixtureVAE((4,), num_components=num_components, **{**defaults, **options})


def tiny_data(num_data: int = 12) -> Tensor:
    return torch.randn(num_data, 4)


def expected_log_joint(model: FactorialMixtureVAE, x: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """E log p(z_i | k) and E log pi_k, [B, K], by broadcasts over [B, K, D]."""
    q = model.encode(x)[f"z_{factor}"].base_dist
    components = model.components[factor].distribution()
    densities = components.expected_log_prob(q.loc.unsqueeze(-2), q.scale.unsqueeze(-2)).sum(-1)
    return densities, model.weights[factor].distribution().expected_statistics


def bound_by_hand(model: FactorialMixtureVAE, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
    """(4b), (4c), (4d), (4e) and the labels' term, as costs per datum, means over the batch."""
    terms = dict.fromkeys(("z", "r", "components", "pi", "labels"), torch.zeros(()))
    for i in range(model.num_factors):
        densities, log_weights = expected_log_joint(model, x, i)
        scale = model.encode(x)[f"z_{i}"].base_dist.scale
        entropy = (scale.log() + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)
        for n in range(len(x)):
            g = (densities[n] + log_weights).softmax(-1)
            label = -1
            if y is not None and i in model.labelled:
                label = int(y[n] if y.dim() == 1 else y[n, model.labelled.index(i)])
            for k in range(len(g)):
                gamma = g[k].detach() if label < 0 else torch.tensor(float(k == label))
                if gamma > 0:
                    terms["z"] = terms["z"] + gamma * (-entropy[n] - densities[n, k]) / len(x)
                    terms["r"] = terms["r"] + gamma * (gamma.log() - log_weights[k]) / len(x)
            if label >= 0:
                terms["labels"] = terms["labels"] - model.label_weight * g[label].log() / len(x)
        components, weights = model.components[i], model.weights[i]
        kl = kl_divergence(components.distribution(), components.prior).sum()
        terms["components"] = terms["components"] + kl / model.num_data
        terms["pi"] = terms["pi"] + kl_divergence(weights.distribution(), weights.prior) / model.num_data
    return terms
