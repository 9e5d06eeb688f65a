"""The losses of *How to train your VAE* written down with the networks' outputs, and a small model."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pyro_mixvae.models import MixturePosteriorVAE


def small(event_shape=(1, 8, 8), channels=4, num_strided=1, dropout=0.0, **options) -> MixturePosteriorVAE:
    """A model with three-dimensional codes and as few channels as can be."""
    return MixturePosteriorVAE(
        event_shape,
        latent_dim=3,
        encoder={"kind": "resnet-encoder", "channels": channels, "num_identity": 1},
        decoder={"kind": "resnet-decoder", "channels": channels, "num_identity": 1},
        discriminator={"kind": "patchgan", "channels": channels, "num_strided": num_strided, "dropout": dropout},
        **options,
    )


def entropy(log_odds: Tensor, target: float) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(log_odds, torch.full_like(log_odds, target))


def generator_losses(vae: MixturePosteriorVAE, x: Tensor, noise: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """The paper's four terms, weighted, without the likelihood's constant; and x'."""
    loc, raw = vae.encoder(x).chunk(2, dim=-1)
    scale = nn.functional.softplus(raw) + 1e-4
    generated = vae.decoder(loc + scale * noise).squeeze(1)
    mean = loc.mean(0)
    second = ((loc - mean) ** 2 + scale**2).mean(0)
    terms = {
        "reconstruction": vae.beta3 * (x - generated).abs().mean(),
        "aggregate_kl": vae.beta1 * 0.5 * (second + mean**2 - 1 - second.log()).sum(),
        "individual_kl": vae.beta2 * (0.5 * (scale**2 - 1 - 2 * scale.log())).sum(1).mean(),
    }
    if vae.adversarial:
        terms["adversary"] = vae.beta4 * entropy(vae.discriminator(generated), 1.0)
    return terms, generated


def discriminator_loss(vae: MixturePosteriorVAE, x: Tensor, generated: Tensor) -> Tensor:
    real, fake = vae.discriminator(x), vae.discriminator(generated.detach())
    return vae.beta4 * (entropy(real, 1.0) + entropy(fake, 0.0))


def constant(vae: MixturePosteriorVAE) -> float:
    """n log 2b, which the Laplace likelihood's normaliser adds to the reconstruction term."""
    n = math.prod(vae.event_shape)
    return n * math.log(2 * n / vae.beta3)
