"""Sharpness: by hand, invariances, and what blur and noise do to it."""

from __future__ import annotations

import math

import pytest
import torch

from pyro_mixvae.data import load
from pyro_mixvae.metrics import gradient_magnitude, sharpness


def test_by_hand():
    """Two pixels have both neighbours: gradients (1, 2) and (3, -1) down and right."""
    image = torch.tensor([[[0.0, 2.0, 1.0], [1.0, 5.0, 0.0]]])
    assert gradient_magnitude(image) == pytest.approx((math.hypot(1, 2) + math.hypot(3, -1)) / 2)
    assert gradient_magnitude(image.unsqueeze(1).numpy()) == gradient_magnitude(image)


def test_flat_images_have_none_and_a_ramp_its_slope():
    assert gradient_magnitude(torch.full((2, 3, 4, 4), 0.3)) == 0
    ramp = torch.arange(5.0).expand(1, 1, 6, 5)
    assert gradient_magnitude(0.25 * ramp) == pytest.approx(0.25)


def test_one_for_the_data_themselves_in_any_range():
    x = load("digits").test.x
    assert sharpness(x, x) == 1
    assert sharpness(2 * x - 1, 2 * x - 1) == pytest.approx(1)
    assert sharpness((255 * x).to(torch.uint8), (255 * x).to(torch.uint8)) == 1
    assert sharpness(0.5 * x, x) == pytest.approx(0.5)


def test_blur_lowers_it_and_noise_raises_it():
    x = load("digits").test.x
    blurred = torch.nn.functional.avg_pool2d(x, 3, stride=1, padding=1)
    assert sharpness(blurred, x) < 0.7
    assert sharpness(x + 0.5 * torch.randn_like(x), x) > 1.3


def test_refused():
    x = torch.rand(2, 1, 4, 4)
    for images, message in {
        torch.rand(4, 4): "allowed are",
        torch.rand(2, 1, 1, 4): "sides from 2",
        torch.full((1, 4, 4), math.nan): "16 of 16 values are not finite",
    }.items():
        with pytest.raises(ValueError, match=f"images: .*{message}"):
            gradient_magnitude(images)
    with pytest.raises(ValueError, match=r"reconstructions: got shape \(1, 1, 4, 4\) for data of shape \(2, 1, 4, 4\)"):
        sharpness(x[:1], x)
    with pytest.raises(ValueError, match="data: all images are flat"):
        sharpness(x, torch.zeros_like(x))
