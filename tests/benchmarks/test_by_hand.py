"""The speed study compares like with like: its hand-written models compute what the package's do."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.by_hand import HandCSRAE, HandFactorial, HandGMVAE, HandMVAE, HandVAE
from benchmarks.steps import BATCH, DATA, NUM_DATA, OURS_BY_NAME

X = torch.rand(BATCH, DATA, generator=torch.Generator().manual_seed(1))


def copy_networks(hand: nn.Module, ours: nn.Module, *names: str) -> None:
    for name in names:
        mine, theirs = (list(getattr(module, name).parameters()) for module in (hand, ours))
        with torch.no_grad():
            for one, other in zip(mine, theirs, strict=True):
                one.copy_(other)


def at_the_same_noise(hand: nn.Module, ours: nn.Module, scale: int = BATCH) -> tuple[torch.Tensor, torch.Tensor]:
    objective = ours.objective()
    torch.manual_seed(2)
    loss = objective.differentiable_loss(ours.model, ours.guide, X) / scale
    torch.manual_seed(2)
    return hand(X), loss


def test_vae():
    hand, ours = HandVAE(), OURS_BY_NAME["VAE"]()
    copy_networks(hand, ours, "encoder", "decoder")
    torch.testing.assert_close(*at_the_same_noise(hand, ours), rtol=1e-5, atol=0)


def test_csrae():
    hand, ours = HandCSRAE(), OURS_BY_NAME["CSRAE"]()
    copy_networks(hand, ours, "encoder", "decoder")
    prior = ours.latent_prior()
    with torch.no_grad():
        hand.locs.copy_(prior.locs)
        hand.log_scales.copy_(prior.scales.log())
    torch.testing.assert_close(*at_the_same_noise(hand, ours), rtol=1e-5, atol=0)


def test_factorial():
    hand, ours = HandFactorial(NUM_DATA), OURS_BY_NAME["factorial"]()
    # the pair draws xi too, so the noise of z differs: the decoder shall not look at z
    torch.nn.init.zeros_(next(ours.decoder.parameters()))
    copy_networks(hand, ours, "encoder", "decoder")
    for _ in range(2):
        q, weights = ours.components[0].distribution(), ours.weights[0].distribution()
        for name, value in {"m": q.loc, "s": q.mean_precision, "a": q.concentration, "b": q.rate}.items():
            getattr(hand, name).copy_(value)
        hand.c.copy_(weights.concentration)
        torch.testing.assert_close(*at_the_same_noise(hand, ours, NUM_DATA), rtol=1e-5, atol=0, check_dtype=False)
        ours.after_step((X,), 0)
        hand.after(X)
        after = ours.components[0].distribution()
        for name, value in {
            "m": after.loc,
            "s": after.mean_precision,
            "a": after.concentration,
            "b": after.rate,
        }.items():
            torch.testing.assert_close(getattr(hand, name), value, rtol=1e-4, atol=1e-5)


def test_mvae():
    hand, ours = HandMVAE(), OURS_BY_NAME["MVAE"]().train()
    copy_networks(hand, ours, "decoder")
    layers = [layer for layer in ours.encoder.layers if hasattr(layer, "weight")] + [ours.sub_decoder.layer]
    with torch.no_grad():
        for mine, layer in zip(hand.weights, layers, strict=True):
            # the first layer, which sees the same data K times, is stored the other way round
            mine.copy_(layer.weight if layer.weight.shape == mine.shape else layer.weight.mT)
        for mine, layer in zip(hand.biases, layers, strict=True):
            mine.copy_(layer.bias.reshape(mine.shape))
        hand.logit.copy_(ours.masks.logit.squeeze())
    torch.testing.assert_close(*at_the_same_noise(hand, ours), rtol=1e-5, atol=0)


def test_gmvae():
    """Noise is drawn in another order and the prior's network is arranged otherwise: as many numbers, at least."""
    hand, ours = HandGMVAE(), OURS_BY_NAME["GMVAE"]()
    mine, theirs = (sum(p.numel() for p in model.parameters()) for model in (hand, ours))
    assert mine == theirs
