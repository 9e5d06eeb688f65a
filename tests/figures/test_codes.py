"""Histograms of codes: what is drawn is what was given."""

from __future__ import annotations

import math
from io import BytesIO

import numpy as np
import pytest
import torch

from pyro_mixvae.figures import code_histograms, posterior_spread


def test_spread_of_two_models():
    scales = {"wide": torch.full((10, 3), 0.5), "collapsed": torch.full((10, 3), 0.01)}
    figure = posterior_spread(scales)
    figure.savefig(BytesIO())
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert [line.get_xdata()[0] for line in axes.lines[:2]] == [0.5, pytest.approx(0.01)]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(scales)


def test_the_heading_and_the_names_of_the_models_stand_apart():
    figure = posterior_spread({"wide": torch.full((10,), 0.5), "narrow": torch.full((10,), 0.01)}, title="a heading")
    figure.savefig(BytesIO())
    heading, names = (part.get_window_extent() for part in (figure._suptitle, figure.legends[0]))
    assert not heading.overlaps(names)


def test_shares_sum_to_one():
    (axes,) = posterior_spread(torch.rand(1000) + 0.01).axes
    assert axes.patches[0].get_data().values.sum() == pytest.approx(1)


def test_joint_and_marginal_histograms_count_the_same_data():
    codes = torch.randn(500, 4)
    figure = code_histograms(codes, axes=(3, 1), num_bins=10)
    figure.savefig(BytesIO())
    above, _, joint, beside = figure.axes
    counts = joint.collections[0].get_array().reshape(10, 10)
    assert counts.sum() == 500
    np.testing.assert_array_equal(above.patches[0].get_data().values, counts.sum(axis=0))
    np.testing.assert_array_equal(beside.patches[0].get_data().values, counts.sum(axis=1))
    assert (joint.get_xlabel(), joint.get_ylabel()) == ("$z_{3}$", "$z_{1}$")


def test_models_share_a_scale():
    figure = code_histograms({"narrow": 0.1 * torch.randn(50, 2), "wide": 9 * torch.randn(50, 2)})
    figure.savefig(BytesIO())
    limits = {axes.get_xlim() for axes in figure.axes if axes.get_xlabel()}
    assert len(limits) == 1


@pytest.mark.parametrize("scales", [{}, torch.zeros(3), torch.tensor([1.0, math.nan]), torch.empty(0)], ids=str)
def test_no_spread(scales):
    with pytest.raises(ValueError, match="scales: got no value, or one that is not positive and finite"):
        posterior_spread(scales)


@pytest.mark.parametrize(
    ("codes", "axes", "message"),
    [
        (torch.rand(5), (0, 1), r"codes: '' has shape \(5,\)"),
        (torch.full((5, 2), math.inf), (0, 1), "codes: '' has shape"),
        (torch.rand(5, 2), (0, 2), r"axes: got \(0, 2\); allowed are two of 0\.\.1"),
        (torch.rand(5, 2), (0,), "axes: got"),
        ({}, (0, 1), "codes: got no models"),
    ],
)
def test_no_histograms(codes, axes, message):
    with pytest.raises(ValueError, match=message):
        code_histograms(codes, axes)
