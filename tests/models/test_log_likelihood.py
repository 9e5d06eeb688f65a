"""The importance-sampled likelihood on a linear-Gaussian VAE, whose likelihood is known."""

from __future__ import annotations

import math

import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn

from pyro_mixvae.models import VAE, base


class Head(nn.Module):
    """A linear map to a mean, beside a constant scale: [\\*, 4] -> [\\*, 2 D]."""

    def __init__(self, matrix: Tensor, raw_scale: float) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix)
        self.raw_scale = nn.Parameter(torch.tensor(raw_scale))

    def forward(self, x: Tensor) -> Tensor:
        loc = x @ self.matrix.T
        return torch.cat([loc, self.raw_scale.expand_as(loc)], -1)


class Linear(nn.Module):
    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.matrix = nn.Parameter(matrix)

    def forward(self, z: Tensor) -> Tensor:
        return (z @ self.matrix.T).unsqueeze(-2)


LOADINGS = torch.tensor([[1.0, 0.2], [-0.5, 0.7], [0.3, 0.3], [0.0, 0.4]])


def linear_gaussian() -> VAE:
    precision = torch.eye(2) + LOADINGS.T @ LOADINGS / 0.36
    encoder = Head(torch.linalg.solve(precision, LOADINGS.T / 0.36), raw_scale=0.2)
    likelihood = {"name": "normal", "scale": 0.6}
    return VAE((4,), latent_dim=2, encoder=encoder, decoder=Linear(LOADINGS), likelihood=likelihood)


def exact_log_likelihood(x: Tensor) -> Tensor:
    covariance = LOADINGS @ LOADINGS.T + 0.36 * torch.eye(4)
    return dist.MultivariateNormal(torch.zeros(4), covariance).log_prob(x)


def draw_data(n: int) -> Tensor:
    return torch.randn(n, 2) @ LOADINGS.T + 0.6 * torch.randn(n, 4)


def test_exact_within_its_stated_error() -> None:
    """Each of 50 data, and their mean, within 4.5 of the errors that come with the estimate."""
    x = draw_data(50)
    found = linear_gaussian().log_likelihood_with_error(x, 5000)
    exact = exact_log_likelihood(x)
    assert found.value.shape == found.error.shape == (50,)
    assert ((found.value - exact).abs() < 4.5 * found.error).all()
    assert abs(found.mean - exact.mean()) < 4.5 * found.mean_error
    assert found.error.max() < 0.05 and found.mean_error < found.error.mean()


def test_stated_error_is_the_spread_of_repeated_estimates() -> None:
    """A standard deviation of 400 estimates is within 16 % (4.5 of its own standard errors) of the stated error."""
    model, datum = linear_gaussian(), draw_data(1)
    found = model.log_likelihood_with_error(datum.repeat(400, 1), 2000)
    spread, stated = found.value.std(), found.error.square().mean().sqrt()
    assert abs(spread / stated - 1) < 4.5 / math.sqrt(2 * 400)


@pytest.mark.parametrize("chunk", [4, 4 * 7, 4 * 7 * 13, 2**22])
def test_memory_is_bounded_and_chunks_change_nothing_else(monkeypatch, chunk: int) -> None:
    model, x = linear_gaussian(), draw_data(7)
    monkeypatch.setattr(base, "CHUNK", chunk)
    asked = []
    log_weights = model.log_weights

    def recorded(part: Tensor, num_samples: int) -> Tensor:
        asked.append((len(part), num_samples))
        return log_weights(part, num_samples)

    monkeypatch.setattr(model, "log_weights", recorded, raising=False)
    found = model.log_likelihood_with_error(x, 39)
    assert all(4 * data * draws <= chunk for data, draws in asked)
    assert sum(data * draws for data, draws in asked) == 7 * 39
    assert ((found.value - exact_log_likelihood(x)).abs() < 4.5 * found.error + 1e-3).all()


def test_five_thousand_samples_of_an_image() -> None:
    network = {"kind": "mlp", "hidden_dims": [16]}
    model = VAE((1, 28, 28), latent_dim=5, encoder=network, decoder=network)
    found = model.log_likelihood_with_error(torch.rand(3, 1, 28, 28), 5000)
    assert found.value.isfinite().all() and (found.error > 0).all()


def test_one_sample_has_no_error_to_state() -> None:
    found = linear_gaussian().log_likelihood_with_error(draw_data(2), 1)
    assert found.value.isfinite().all() and found.error.isinf().all()


def test_log_likelihood_is_the_value() -> None:
    model, x = linear_gaussian(), draw_data(3)
    torch.manual_seed(1)
    value = model.log_likelihood(x, 20)
    torch.manual_seed(1)
    torch.testing.assert_close(model.log_likelihood_with_error(x, 20).value, value, rtol=0, atol=0)
