"""Figures of a factorial mixture: drawn, and refused."""

from __future__ import annotations

import pytest
import torch
from matplotlib.figure import Figure

from pyro_mixvae.figures import bound_by_components, component_rows, factor_grid


def drawn(figure: Figure) -> Figure:
    figure.canvas.draw()
    return figure


def test_bound_by_components_is_in_the_order_of_the_sizes():
    terms = {"bound": [-90.0, -95.0, -88.0], "kl_r": torch.tensor([3.0, 0.0, 4.0])}
    figure = drawn(bound_by_components([4, 1, 64], terms, title="figure 3"))
    (curve,) = figure.axes[0].get_lines()
    assert list(curve.get_xdata()) == [0, 2, 6]
    assert list(curve.get_ydata()) == [-95, -90, -88]
    assert [axes.get_title() for axes in figure.axes] == ["bound", "kl r"]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["0", "2", "6"]


@pytest.mark.parametrize(
    ("sizes", "terms", "message"),
    [
        ([], {"bound": []}, "num_components"),
        ([1, 1], {"bound": [1, 2]}, "num_components"),
        ([0], {"bound": [1]}, "num_components"),
        ([1], {}, "terms"),
        ([1, 2], {"bound": [1]}, "'bound' has shape"),
    ],
)
def test_bound_by_components_refuses(sizes, terms, message):
    with pytest.raises(ValueError, match=message):
        bound_by_components(sizes, terms)


@pytest.mark.parametrize("channels", [1, 3])
def test_component_rows(channels):
    samples = torch.rand(3, 5, channels, 4, 4)
    means, variances = samples.mean(1), samples.var(1)
    variances[0] = 0
    figure = drawn(component_rows(means, variances, samples))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["0", "1", "2"]


def test_component_rows_refuse():
    samples = torch.rand(3, 5, 1, 4, 4)
    with pytest.raises(ValueError, match="means: got shape"):
        component_rows(samples.mean(1)[:2], samples.var(1), samples)
    with pytest.raises(ValueError, match="samples: got shape"):
        component_rows(samples.mean(1), samples.var(1), samples[0])
    with pytest.raises(ValueError, match="row_labels: got 1 for 3"):
        component_rows(samples.mean(1), samples.var(1), samples, ["one"])


def test_factor_grid():
    figure = drawn(factor_grid(torch.rand(2, 3, 1, 4, 4), "gender", "glasses", ["f", "m"]))
    axes = figure.axes[0]
    assert axes.get_ylabel() == "gender"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["f", "m"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "1", "2"]
    with pytest.raises(ValueError, match="images: got shape"):
        factor_grid(torch.rand(2, 3, 4, 4))
