"""What all models share: checks at the boundary, chunked importance sampling, evaluation for a while."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch

from pyro_mixvae.models import GMVAE, base
from tests.models.gmvae_by_hand import tiny_data, tiny_gmvae


def bad(x, value):
    x = x.clone()
    x[1, 0, 2] = value
    return x


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda x: x[:, :1], r"x: expected shape \[B, 2, 3\], got \[5, 1, 3\]"),
        (lambda x: x.flatten(1), r"x: expected shape \[B, 2, 3\], got \[5, 6\]"),
        (lambda x: x[0], r"x: expected shape \[B, 2, 3\], got \[2, 3\]"),
        (lambda x: torch.tensor(1.0), r"x: expected shape"),
        (lambda x: (255 * x).byte(), "x: expected floating-point values, got torch.uint8; divide 8-bit images by 255"),
        (lambda x: bad(x, math.nan), "x: expected finite values, got nan or inf in 1 data, first 1"),
        (lambda x: bad(x, -math.inf), "x: expected finite values"),
        (lambda x: bad(x, 1.5), r"x: a Bernoulli likelihood takes values in \[0, 1\], got values in \[.*, 1.5\]"),
        (lambda x: bad(x, -0.1), r"got values in \[-0.1, "),
    ],
)
def test_bad_data(change, message):
    """The same message from ``check`` (before training) and from every method that takes data."""
    model, x = tiny_gmvae(), change(tiny_data())
    for method in (model.check, model.terms, model.responsibilities, model.reconstruct, model.log_likelihood):
        with pytest.raises(ValueError, match=message):
            method(x)


def test_values_of_a_normal_likelihood_are_not_bounded():
    tiny_gmvae(likelihood="normal").check(10 * tiny_data() - 5)
    with pytest.raises(ValueError, match="finite"):
        tiny_gmvae(likelihood="normal").check(bad(tiny_data(), math.inf))


@pytest.mark.parametrize("y", [[0, 1, 2, -1, 2], [-1] * 5])
def test_good_labels(y):
    tiny_gmvae().check(tiny_data(), torch.tensor(y), num_classes=3)
    tiny_gmvae().check(tiny_data(), torch.tensor(y))


@pytest.mark.parametrize(
    "y, num_classes, message",
    [
        ([0, 1, 3, 0, 0], 3, r"y: expected labels in -1\.\.2, got labels in 0\.\.3"),
        ([0, 1, -2, 0, 0], 3, r"y: expected labels in -1\.\.2, got labels in -2\.\.1"),
        ([0, 1, -2, 0, 0], None, r"y: expected labels >= -1, got labels in -2\.\.1"),
        ([0, 1], 3, r"y: expected one label for each of 5 data, got shape \[2\]"),
        (0, 3, "y: expected one label for each of 5 data"),
        ([0.5, 1.0, 0.0, 0.0, 0.0], 3, "y: expected integer labels, got torch.float32"),
    ],
)
def test_bad_labels(y, num_classes, message):
    with pytest.raises(ValueError, match=message):
        tiny_gmvae().check(tiny_data(), torch.tensor(y), num_classes=num_classes)


@pytest.mark.parametrize("chunk", [1, 50, 2**22])
def test_log_likelihood_in_chunks_of_any_size(chunk, monkeypatch):
    """One datum and one draw at a time, or all at once: a fixed set of log-weights gives one answer."""
    monkeypatch.setattr(base, "CHUNK", chunk)
    model, x = tiny_gmvae(), tiny_data()
    weights = torch.randn(7, 5).double()
    sizes, positions = [], Counter()  # how many draws each part of the data has had

    def log_weights(part, num_samples):
        sizes.append(part.numel() * num_samples)
        index = [int((part[i] == x).flatten(1).all(1).nonzero()) for i in range(len(part))]
        start = positions[tuple(index)]
        positions[tuple(index)] += num_samples
        return weights[start : start + num_samples, index]

    model.log_weights = log_weights
    torch.testing.assert_close(model.log_likelihood(x, 7), weights.exp().mean(0).log())
    assert max(sizes) <= max(chunk, 6)


def test_log_likelihood_survives_tiny_densities():
    model, x = tiny_gmvae(), tiny_data()
    model.log_weights = lambda part, n: torch.full((n, len(part)), -5000.0).double()
    torch.testing.assert_close(model.log_likelihood(x, 3), torch.full((5,), -5000.0).double())


def test_names_are_unique_in_the_process():
    models = [GMVAE((4,), 2, 2, 2) for _ in range(3)]
    assert len({model._pyro_name for model in models}) == 3
    assert all(model._pyro_name.startswith("GMVAE_") for model in models)
