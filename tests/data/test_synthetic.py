"""Synthetic data are what their formulas say, and the same for the same seed."""

from __future__ import annotations

import math

import pytest
import torch

from pyro_mixvae.data import load


@pytest.mark.parametrize(
    ("name", "train", "test", "dimension", "classes"),
    [("arcs", 10_000, 2_000, 2, 5), ("pinwheel", 4_000, 1_000, 2, 4), ("two-gaussians", 2_000, 1_000, 1, 2)],
)
def test_sizes_and_seeds(name, train, test, dimension, classes):
    data, again, other = load(name, seed=1), load(name, seed=1), load(name, seed=2)
    assert data.train.x.shape == (train, dimension)
    assert data.test.x.shape == (test, dimension)
    assert data.num_classes == classes == len(data.train.y.unique())
    assert torch.equal(data.train.x, again.train.x) and torch.equal(data.test.y, again.test.y)
    assert not torch.equal(data.train.x, other.train.x)
    assert not torch.equal(data.train.x[:test], data.test.x)
    fewer = load(name, seed=1, num_test=0)
    assert fewer.test is None and torch.equal(fewer.train.x, data.train.x)
    with pytest.raises(ValueError, match="num_points, num_test: got 0, 5"):
        load(name, num_points=0, num_test=5)


def test_arcs_lie_on_their_circles_and_apart():
    data = load("arcs", noise=0.0)
    angle = 2 * math.pi * data.train.y / 5
    centre = 0.7 * torch.stack([angle.cos(), angle.sin()], -1)
    radius = (data.train.x - centre).norm(dim=-1)
    torch.testing.assert_close(radius, torch.full_like(radius, 0.6))
    noisy = load("arcs").train
    assert noisy.x.abs().max() < 1.6
    centres = noisy.x[:1000]
    distance = torch.cdist(centres, centres).masked_fill(noisy.y[:1000, None] == noisy.y[:1000], torch.inf)
    assert distance.min() > 0.1
    with pytest.raises(ValueError, match="noise: got -1"):
        load("arcs", noise=-1)


def test_pinwheel_arms_turn_back_to_one_blob():
    data = load("pinwheel", num_points=40_000).train
    radius = data.x.norm(dim=-1)
    turn = 2 * math.pi * data.y / 4
    arm = torch.atan2(data.x[:, 1], data.x[:, 0])
    along = radius  # to first order the first coordinate before the turn is the radius times a cosine
    for _ in range(50):
        along = radius * torch.cos(arm - turn - 0.25 * along.exp())
    across = radius * torch.sin(arm - turn - 0.25 * along.exp())
    error = 4.5 / math.sqrt(40_000)
    assert abs(along.mean() - 1) < error * 0.05
    assert abs(across.mean()) < error * 0.25
    assert along.std() == pytest.approx(0.05, rel=error)
    assert across.std() == pytest.approx(0.25, rel=error)


def test_two_gaussians_have_their_moments():
    data = load("two-gaussians", num_points=100_000).train
    for side, mean in enumerate((-3.0, 3.0)):
        members = data.x[data.y == side]
        error = 4.5 / math.sqrt(len(members))
        assert abs(float(members.mean()) - mean) < error
        assert float(members.std()) == pytest.approx(1, abs=error)
    assert float(data.y.double().mean()) == pytest.approx(0.5, abs=4.5 * 0.5 / math.sqrt(100_000))


@pytest.mark.parametrize("options", [{"num_arms": 0}, {"radial_scale": -0.1}])
def test_bad_pinwheels_are_named(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        load("pinwheel", **options)
