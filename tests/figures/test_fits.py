"""The figures of the Cauchy-Schwarz paper's toys."""

from __future__ import annotations

import io

import pytest
import torch
from matplotlib.figure import Figure

from pyro_mixvae.figures import component_samples, density_fits, weight_panels

GRID = torch.linspace(-1, 1, 20)
POINTS = torch.randn(30, 2)


def drawn(figure: Figure) -> int:
    """Draw it; how many panels it has."""
    figure.savefig(io.BytesIO(), format="png")
    return len(figure.axes)


@pytest.mark.parametrize("points", [None, torch.randn(50, 1)])
def test_density_fits(points) -> None:
    figure = density_fits(GRID, GRID**2, {"first": GRID**2, "second": GRID.abs()}, points, title="fits")
    assert drawn(figure) == 2
    assert [axes.get_title() for axes in figure.axes] == ["first", "second"]
    target, fit = figure.axes[1].lines
    assert target.get_ydata().tolist() == (GRID**2).tolist() and fit.get_ydata().tolist() == GRID.abs().tolist()


def test_density_fits_shows_the_highest_of_all() -> None:
    figure = density_fits(GRID, GRID**2, {"low": GRID**2, "high": 5 * GRID**2})
    drawn(figure)
    for axes in figure.axes:
        assert axes.get_ylim()[0] == 0 and axes.get_ylim()[1] >= 5


def test_weight_panels() -> None:
    panels = {"a": POINTS, "b": 2 * POINTS, "c": POINTS}
    labels = torch.arange(30) % 4
    figure = weight_panels(panels, panels, labels, POINTS, torch.zeros(4, 2))
    assert drawn(figure) == 6
    assert drawn(weight_panels(panels, panels)) == 6


def test_component_numbers() -> None:
    samples = torch.rand(3, 4, 1, 8, 8)
    figure = component_samples(samples, torch.tensor([0.5, 0.25, 0.25]), numbers=[7, 20, 399])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["7  (50%)", "20  (25%)", "399  (25%)"]
    with pytest.raises(ValueError, match="numbers: got 2 for 3 components"):
        component_samples(samples, numbers=[1, 2])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: density_fits(GRID, GRID[:5], {"fit": GRID}), r"grid, target: got shapes \(20,\) and \(5,\)"),
        (lambda: density_fits(GRID, GRID, {}), "fits: got none"),
        (lambda: density_fits(GRID, GRID, {"fit": GRID[:5]}), r"'fit' has shape \(5,\), expected \(20,\)"),
        (lambda: weight_panels({}, {}), "allowed are the same"),
        (lambda: weight_panels({"a": POINTS}, {"b": POINTS}), r"got \['b'\] and reconstructions \['a'\]"),
        (
            lambda: weight_panels({"a": torch.zeros(3, 4)}, {"a": POINTS}),
            r"'a' has shape \(3, 4\); allowed is \[N, 2\]",
        ),
    ],
)
def test_bad_input(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()
