"""The figure of a sweep."""

from __future__ import annotations

import math

import pytest

from pyro_mixvae.figures import trade_off


def test_each_number_against_the_values_in_their_order() -> None:
    series = {"criterion": [3.0, 1.0, 2.0], "log-likelihood": [-1.0, math.nan, -3.0]}
    figure = trade_off(series, [10.0, 0.1, 1.0], ["10", "0.1", "1"], chosen=1, option="objective.scale")
    first, second = (axes for axes in figure.axes if axes.get_visible())
    assert first.get_xscale() == "log"
    assert first.lines[0].get_xdata().tolist() == [0.1, 1.0, 10.0]
    assert first.lines[0].get_ydata().tolist() == [1.0, 2.0, 3.0]
    assert first.lines[1].get_xdata() == [0.1, 0.1]
    assert [label.get_text() for label in second.get_xticklabels()] == ["10", "0.1", "1"]


def test_values_that_are_no_numbers() -> None:
    figure = trade_off({"criterion": [3.0, 1.0]}, None, ["kl", "cauchy-schwarz"])
    assert figure.axes[0].get_xscale() == "linear"


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"series: got lengths \[2\] for 3 values"):
        trade_off({"criterion": [3.0, 1.0]}, None, ["a", "b", "c"])
