"""The objectives of the VAE family in plain torch, on noise that is handed to them."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from pyro_mixvae.models import VAE


def posterior(model: VAE, x: Tensor) -> tuple[Tensor, Tensor]:
    """Means and standard deviations, [B, D]."""
    loc, raw = model.encoder(x).chunk(2, -1)
    return loc, softplus(raw) + 1e-4


def log_normal(z: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
    return (-0.5 * ((z - loc) / scale) ** 2 - scale.log() - 0.5 * math.log(2 * math.pi)).sum(-1)


def log_bernoulli(model: VAE, x: Tensor, z: Tensor) -> Tensor:
    logits = model.decoder(z).squeeze(-1 - len(model.event_shape))
    return -binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").flatten(z.dim() - 1).sum(-1)


def kl_standard(loc: Tensor, scale: Tensor) -> Tensor:
    return 0.5 * (scale**2 + loc**2 - 1 - 2 * scale.log()).sum(-1)


def mixture_of(model: VAE) -> tuple[Tensor, Tensor, Tensor]:
    """Log weights [K], means and standard deviations [K, D], from the prior's own parameters."""
    prior = model.prior
    if hasattr(prior, "pseudo_inputs"):
        loc, scale = posterior(model, prior.pseudo_inputs)
    elif prior.network is not None:
        loc, raw = prior.network(prior.inputs.clamp(min=0)).chunk(2, -1)
        scale = softplus(raw) + 1e-4
    else:
        loc, scale = prior.locs, softplus(prior.raw_scales) + 1e-4
    return prior.logits.log_softmax(0), loc, scale


def log_mixture(z: Tensor, weights: Tensor, locs: Tensor, scales: Tensor) -> Tensor:
    return torch.logsumexp(weights + log_normal(z.unsqueeze(-2), locs, scales), -1)


def cauchy_schwarz_standard(loc: Tensor, scale: Tensor) -> Tensor:
    """-log N(mu; 0, sigma^2 + 1) + 1/2 log N(0; 0, 2 sigma^2) + 1/2 log N(0; 0, 2)."""
    zero = torch.zeros_like(loc)
    return (
        -log_normal(loc, zero, (scale**2 + 1).sqrt())
        + 0.5 * log_normal(zero, zero, math.sqrt(2) * scale)
        + 0.5 * log_normal(zero, zero, math.sqrt(2) * torch.ones_like(scale))
    )


def cauchy_schwarz_mixture(loc: Tensor, scale: Tensor, weights: Tensor, locs: Tensor, scales: Tensor) -> Tensor:
    """SPEC, section 4, for any weights."""
    cross = log_normal(loc.unsqueeze(-2), locs, (scale.unsqueeze(-2) ** 2 + scales**2).sqrt())
    pairs = log_normal(locs.unsqueeze(1), locs.unsqueeze(0), (scales.unsqueeze(1) ** 2 + scales**2).sqrt())
    zero = torch.zeros_like(loc)
    return (
        -torch.logsumexp(weights + cross, -1)
        + 0.5 * log_normal(zero, zero, math.sqrt(2) * scale)
        + 0.5 * torch.logsumexp(weights.unsqueeze(1) + weights + pairs, (0, 1))
    )


def mmd_imq(codes: Tensor, draws: Tensor) -> Tensor:
    """The biased V-statistic with 1 / (1 + |a - b|^2 / (2 D)), as a double loop over the three blocks."""
    num_dims = codes.shape[-1]

    def mean_kernel(a: Tensor, b: Tensor) -> Tensor:
        return torch.stack([1 / (1 + ((u - b) ** 2).sum(-1) / (2 * num_dims)) for u in a]).mean()

    return mean_kernel(codes, codes) + mean_kernel(draws, draws) - 2 * mean_kernel(codes, draws)
