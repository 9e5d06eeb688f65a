"""Who asks for bfloat16 where it costs time is told."""

from __future__ import annotations

import warnings

import pytest

from pyro_mixvae.training import fit, half_precision
from tests.models.every_model import every, some_data


def train(**options):
    fit(every("VAE"), some_data(), max_epochs=1, progress=False, accelerator="cpu", **options)


def test_told_of_a_processor_without(monkeypatch):
    monkeypatch.setattr(half_precision, "bfloat16_slowdown", lambda: 54.32)
    message = r"precision: bf16-mixed .* 54\.3 times as long .* precision='32-true' is faster"
    with pytest.warns(UserWarning, match=message) as told:
        train(precision="bf16-mixed")
    assert told[0].filename == __file__


@pytest.mark.parametrize(("slowdown", "precision"), [(0.5, "bf16-mixed"), (54.0, "32-true"), (54.0, None)])
def test_not_told(monkeypatch, slowdown, precision):
    monkeypatch.setattr(half_precision, "bfloat16_slowdown", lambda: slowdown)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(precision=precision)


def test_measured_once(monkeypatch):
    """The fastest of some products of each kind, so that other work on the machine does not count."""
    times = iter([9.0, 2.0, 3.0, 2.5, 9.0, 8.0, 6.0, 7.0])
    monkeypatch.setattr(half_precision, "_seconds", lambda left, right: next(times))
    half_precision.bfloat16_slowdown.cache_clear()
    assert half_precision.bfloat16_slowdown() == half_precision.bfloat16_slowdown() == 3.0
    half_precision.bfloat16_slowdown.cache_clear()


def test_measured_here():
    assert 0.01 < half_precision.bfloat16_slowdown() < 1000
