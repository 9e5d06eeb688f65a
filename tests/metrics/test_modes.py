"""Axes with two modes: planted ones are found, one Gaussian is not taken for two."""

from __future__ import annotations

import math

import pytest
import torch

from pyro_mixvae.metrics import bimodal_axes


def two_modes(n, num_axes, scale, share=0.5):
    sign = torch.where(torch.rand(n, num_axes) < share, -1.0, 1.0)
    return sign + scale * torch.randn(n, num_axes)


def test_planted_modes_at_plus_and_minus_one():
    """The paper's: 400 data, modes at -1 and 1; also where one mode holds three quarters of the data."""
    assert bimodal_axes(two_modes(400, 100, 0.4)).all()
    assert bimodal_axes(two_modes(400, 100, 0.35, share=0.75)).all()


@pytest.mark.parametrize("n", [50, 400, 2000])
def test_one_gaussian_has_one_mode(n):
    """Of 300 axes at most 3 are taken for bimodal; among 4,000 Gaussian ones of 400 data none was."""
    assert bimodal_axes(torch.randn(n, 300)).sum() <= 3
    assert bimodal_axes(5 + 1e-3 * torch.randn(n, 300)).sum() <= 3


def test_a_flat_density_is_taken_for_two_modes_one_time_in_twenty():
    """0.0535 of 2,000 axes of 400 uniform draws: 4.5 standard errors of 300 such axes about it."""
    assert abs(bimodal_axes(torch.rand(400, 300)).mean() - 0.0535) <= 4.5 * math.sqrt(0.0535 * 0.9465 / 300)


def test_modes_that_touch_are_one():
    """Half N(-1, 1) and half N(1, 1): just unimodal."""
    assert bimodal_axes(two_modes(2000, 100, 1.0)).sum() <= 3


def test_location_scale_and_order_do_not_matter():
    codes = torch.cat([two_modes(400, 5, 0.4), torch.randn(400, 5)], dim=1)
    expected = [True] * 5 + [False] * 5
    assert bimodal_axes(codes).tolist() == expected
    assert bimodal_axes(-30 * codes + 7).tolist() == expected
    assert bimodal_axes(codes[torch.randperm(400)].numpy()).tolist() == expected


def test_collapsed_axes():
    """All codes equal, or all but few: no width to estimate from, and one mode."""
    codes = torch.zeros(100, 2)
    codes[:3, 1] = 1.0
    assert not bimodal_axes(codes).any()


def test_refused():
    for codes, message in {
        torch.rand(5): r"\(5,\)",
        torch.rand(1, 3): r"\(1, 3\)",
        torch.full((4, 1), math.nan): r"\(4, 1\)",
    }.items():
        with pytest.raises(ValueError, match=f"codes: got shape {message}"):
            bimodal_axes(codes)
    with pytest.raises(ValueError, match="valley: got 1"):
        bimodal_axes(torch.rand(5, 1), valley=1)
    with pytest.raises(ValueError, match="second_peak: got 0"):
        bimodal_axes(torch.rand(5, 1), second_peak=0)
