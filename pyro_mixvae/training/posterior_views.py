"""What the report of a mixture-posterior VAE shows beside every model's: how wide its posteriors are, and its axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyro_mixvae import figures
from pyro_mixvae.data import DataSet
from pyro_mixvae.metrics import bimodal_axes, sharpness
from pyro_mixvae.models import MixturePosteriorVAE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Data that go through a model at once.
BATCH = 500
#: Data whose codes are counted (the paper's), and that are varied and turned into each other.
CODES, SHOWN_VARIANTS, SHOWN_PAIRS = 400, 2, 4


def posterior_scores(model: MixturePosteriorVAE, x: Tensor) -> dict[str, float]:
    """Width of the posteriors, sharpness of reconstructions, and how many axes have two modes.

    Args:
        model: a trained model.
        x: held-out data as the model takes them.

    Returns:
        Numbers by name; sharpness, for images only, is 1 where reconstructions are as sharp as the data.
    """
    loc, scale = _posterior(model, x)
    scores = {"mean posterior sigma": scale.mean().item(), "smallest posterior sigma": scale.min().item()}
    if len(x) > 1:
        codes = (loc + scale * torch.randn_like(scale))[:CODES]
        scores["bimodal axes"] = float(bimodal_axes(codes).sum())
    if _are_images(x):
        scores["sharpness"] = sharpness(torch.cat([model.reconstruct(part) for part in x.split(BATCH)]), x)
    return scores


def posterior_figures(model: MixturePosteriorVAE, data: DataSet, x: Tensor) -> dict[str, Figure]:
    """The paper's pictures, by file name: widths of posteriors, pairs of codes, variants and transitions.

    Args:
        model: a trained model.
        data: what it was trained on; says which values are black and white.
        x: held-out data as the model takes them.
    """
    loc, scale = _posterior(model, x)
    drawn = {"posterior_spread": figures.posterior_spread(scale)}
    if model.latent_dim < 2:
        return drawn
    drawn["codes"] = figures.code_histograms(loc[:CODES])
    if _are_images(x):
        pairs = min(SHOWN_PAIRS, len(x) // 2)
        drawn["variants"] = figures.latent_variants(
            model.variants(x[:SHOWN_VARIANTS]), value_range=data.train.value_range
        )
        if pairs:
            drawn["transitions"] = figures.latent_transitions(
                model.transitions(x[:pairs], x[pairs : 2 * pairs]), value_range=data.train.value_range
            )
    return drawn


@torch.no_grad()
def _posterior(model: MixturePosteriorVAE, x: Tensor) -> tuple[Tensor, Tensor]:
    """Means and standard deviations of q(z | x), [B, latent_dim] each."""
    parts = [model.encode(part).base_dist for part in x.split(BATCH)]
    return torch.cat([part.loc for part in parts]), torch.cat([part.scale for part in parts])


def _are_images(x: Tensor) -> bool:
    return x.dim() == 4 and x.shape[1] in (1, 3)
