"""The semi-supervised objective in plain torch: a loop over data and classes, on noise that is handed to it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot, softplus

from pyro_mixvae.models import SemiSupervisedCSRAE
from tests.models.vae_by_hand import cauchy_schwarz_mixture, cauchy_schwarz_standard, kl_standard, mixture_of


def tiny(**options: Any) -> SemiSupervisedCSRAE:
    """Data of 6 values, 3 classes, 2 latent dimensions."""
    settings: dict[str, Any] = {"num_classes": 3, "latent_dim": 2, "feature_dim": 5, "label_dim": 4}
    for name in ("encoder", "label_encoder", "classifier", "posterior", "decoder"):
        settings[name] = {"kind": "mlp", "hidden_dims": [8]}
    if "num_labels" in options:
        settings["num_classes"] = None
    return SemiSupervisedCSRAE((6,), **(settings | options))


def pieces(model: SemiSupervisedCSRAE, x: Tensor, y: Tensor, noise: Tensor) -> dict[str, Tensor]:
    """log p(x | z, y) and the divergence of one datum x [6] with the label vector y, at z = mu + sigma noise."""
    h_y = model.label_encoder.network(y).clamp(min=0)
    h_x = model.encoder.network(x).clamp(min=0)
    loc, raw = model.posterior(torch.cat([h_x, h_y])).chunk(2)
    scale = softplus(raw) + 1e-4
    logits = model.decoder(torch.cat([loc + scale * noise, h_y])).reshape(x.shape)
    log_likelihood = -binary_cross_entropy_with_logits(logits, x, reduction="sum")
    if model.divergence == "kl":
        divergence = kl_standard(loc, scale)
    elif model.num_components is None:
        divergence = cauchy_schwarz_standard(loc, scale)
    else:
        divergence = cauchy_schwarz_mixture(loc, scale, *mixture_of(model))
    return {"log_likelihood": log_likelihood, "divergence": divergence}


def log_q(model: SemiSupervisedCSRAE, x: Tensor) -> Tensor:
    return model.classifier(model.encoder.network(x).clamp(min=0)).log_softmax(-1)


def labelled(model: SemiSupervisedCSRAE, x: Tensor, y: int, noise: Tensor) -> Tensor:
    """L(x, y) + alpha log q(y | x) of one datum."""
    log_probs, size = log_q(model, x), model.labels.size
    found = pieces(model, x, one_hot(torch.tensor(y), size).to(x), noise)
    kl = sum(log_probs[k].exp() * (log_probs[k] + math.log(size)) for k in range(size))
    value = found["log_likelihood"] - model.scale * found["divergence"]
    return value - model.beta * kl + model.alpha * log_probs[y]


def unlabelled(model: SemiSupervisedCSRAE, x: Tensor, noise: Tensor) -> Tensor:
    """U(x) of one datum, noise [C, D] for its classes."""
    log_probs, size = log_q(model, x), model.labels.size
    total = torch.zeros(())
    for k in range(size):
        found = pieces(model, x, one_hot(torch.tensor(k), size).to(x), noise[k])
        value = found["log_likelihood"] - model.scale * found["divergence"]
        total = total + log_probs[k].exp() * (value - model.beta * (log_probs[k] + math.log(size)))
    return total


def objective(model: SemiSupervisedCSRAE, x: Tensor, y: Tensor, noise: Tensor) -> Tensor:
    """J: the mean over the labelled plus the mean over the others, noise [C, B, D]."""
    with_label = [labelled(model, x[n], int(y[n]), noise[y[n], n]) for n in range(len(x)) if y[n] >= 0]
    without = [unlabelled(model, x[n], noise[:, n]) for n in range(len(x)) if y[n] < 0]
    return sum((torch.stack(part).mean() for part in (with_label, without) if part), start=torch.zeros(()))
