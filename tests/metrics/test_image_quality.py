"""Frechet distance and Inception Score against closed forms, and what is said where Inception is missing."""

from __future__ import annotations

import math

import pytest
import torch

from pyro_mixvae.metrics import image_quality, inception_network


class Seen:
    """Features are the values themselves; the class is the sign of the first, with some doubt."""

    def __init__(self, doubt: float = 0.1) -> None:
        self.doubt = doubt

    def features(self, x):
        return x.flatten(1)

    def predict_proba(self, x):
        positive = torch.where(x.flatten(1)[:, :1] > 0, 1 - self.doubt, self.doubt)
        return torch.cat([positive, 1 - positive], 1)


def test_frechet_distance_of_shifted_and_scaled_images() -> None:
    """N(m, S) against a copy shifted by a and scaled by s: |a + (s - 1) m|^2 + (1 - s)^2 tr S."""
    torch.manual_seed(0)
    real = torch.randn(400, 1, 1, 3, dtype=torch.float64) @ torch.randn(3, 3, dtype=torch.float64) + 0.3
    shift, scale = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64), 1.7
    flat = real.flatten(1)
    moved = shift + (scale - 1) * flat.mean(0)
    expected = moved.square().sum() + (1 - scale) ** 2 * torch.cov(flat.T).trace()
    found = image_quality(real, scale * real + shift, Seen())
    assert found["Frechet distance"] == pytest.approx(expected.item(), rel=1e-5)
    assert image_quality(real, real.clone(), Seen())["Frechet distance"] == pytest.approx(0, abs=1e-5)


def test_inception_score_is_exp_of_mutual_information() -> None:
    """Two classes in halves, told apart with error 0.1: log IS = log 2 - H(0.1)."""
    images = torch.tensor([1.0, -1.0]).repeat(50).reshape(100, 1, 1, 1) + torch.rand(100, 1, 1, 2) / 10
    found = image_quality(images, images, Seen(), splits=1)
    entropy = -(0.1 * math.log(0.1) + 0.9 * math.log(0.9))
    assert found["Inception Score"] == pytest.approx(2 * math.exp(-entropy), rel=1e-5)
    assert found["Inception Score, sd"] == 0


def test_random_state_is_left_alone() -> None:
    images = torch.rand(20, 1, 2, 2)
    state = torch.get_rng_state()
    assert image_quality(images, images, Seen(), seed=1) == image_quality(images, images, Seen(), seed=1)
    assert torch.equal(torch.get_rng_state(), state)


def test_bad_input(tmp_path) -> None:
    images = torch.rand(20, 1, 2, 2)
    with pytest.raises(ValueError, match=r"generated: got images of shape \[1, 2, 1\], but \[1, 2, 2\] in real"):
        image_quality(images, images[..., :1], Seen())
    with pytest.raises(ValueError, match="got 20 and 1 images"):
        image_quality(images, images[:1], Seen())
    with pytest.raises(ValueError, match=r"splits: got 30; allowed are 1..20"):
        image_quality(images, images, Seen(), splits=30)
    with pytest.raises(ValueError, match=r"inception: looked for the network's weights at .*; published at https"):
        inception_network(tmp_path / "none.pth")
