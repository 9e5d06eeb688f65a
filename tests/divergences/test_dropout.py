"""Both approximations of the Gaussian-dropout KL against quadrature of what they approximate."""

from __future__ import annotations

import math

import numpy as np
import pyro
import pytest
import torch
from scipy.integrate import quad
from torch.fx.experimental.proxy_tensor import make_fx

from pyro_mixvae.divergences import gaussian_dropout_kl


def by_quadrature(tau: float) -> float:
    """KL(N(1, tau) || 1 / |noise|), the constant chosen so that it tends to zero as tau grows."""

    def log_magnitude(z: float) -> float:
        return math.exp(-0.5 * z**2) / math.sqrt(2 * math.pi) * math.log(abs(1 + math.sqrt(tau) * z))

    root = -1 / math.sqrt(tau)
    parts = [(-12, root), (root, 12)] if root > -12 else [(-12, 12)]
    expected_log = sum(quad(log_magnitude, low, high, limit=200)[0] for low, high in parts)
    return expected_log - 0.5 * math.log(tau) + 0.5 * (np.euler_gamma + math.log(2))


def test_molchanov_is_within_a_hundredth_for_all_tau():
    tau = torch.logspace(-4, 4, 41, dtype=torch.float64)
    exact = torch.tensor([by_quadrature(float(t)) for t in tau])
    assert (gaussian_dropout_kl(tau, method="molchanov") - exact).abs().max() < 0.01


def test_kingma_is_within_four_hundredths_up_to_one():
    """As KL(1) = 0 has it; up to a constant the polynomial is within 0.02 + 0.002."""
    tau = torch.logspace(-4, 0, 21, dtype=torch.float64)
    exact = torch.tensor([by_quadrature(float(t)) for t in tau]) - by_quadrature(1.0)
    error = gaussian_dropout_kl(tau) - exact
    assert error.abs().max() < 0.04
    assert error.max() - error.min() < 0.044


def test_printed_formulas():
    tau = torch.tensor([0.1, 0.5, 0.9]).double()
    c1, c2, c3 = 1.16145124, -1.50204118, 0.58629921
    kingma = -(-(c1 + c2 + c3) + 0.5 * tau.log() + c1 * tau + c2 * tau**2 + c3 * tau**3)
    torch.testing.assert_close(gaussian_dropout_kl(tau), kingma)
    k1, k2, k3 = 0.63576, 1.87320, 1.48695
    molchanov = 0.5 * (1 + 1 / tau).log() + k1 - k1 * torch.sigmoid(k2 + k3 * tau.log())
    torch.testing.assert_close(gaussian_dropout_kl(tau, method="molchanov"), molchanov)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_at_one_and_decreasing(dtype):
    tau = torch.linspace(0.01, 1, 100, dtype=dtype)
    divergence = gaussian_dropout_kl(tau)
    assert divergence.dtype == dtype
    assert divergence[-1] == 0
    assert (divergence.diff() < 0).all()


@pytest.mark.parametrize("method", ["kingma", "molchanov"])
def test_gradients_also_for_extreme_tau(method):
    tau = torch.tensor([[0.01, 0.3], [0.7, 0.99]]).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda t: gaussian_dropout_kl(t, method), tau)
    extreme = torch.tensor([1e-30, 1e-6, 1.0] + ([1e30] if method == "molchanov" else []), requires_grad=True)
    divergence = gaussian_dropout_kl(extreme, method)
    assert divergence.isfinite().all()
    assert (divergence >= 0).all()
    (gradient,) = torch.autograd.grad(divergence.sum(), extreme)
    assert gradient.isfinite().all()


def test_out_of_range_is_refused_where_validation_is_on():
    with pytest.raises(ValueError, match=r'in \(0, 1\] for method="kingma", got values from 0.5 to 1.5'):
        gaussian_dropout_kl(torch.tensor([0.5, 1.5]))
    with pytest.raises(ValueError, match="tau must be positive, got values from -1 to 2"):
        gaussian_dropout_kl(torch.tensor([-1.0, 2.0]), method="molchanov")
    with pytest.raises(ValueError, match=r"method must be .*, got 'other'"):
        gaussian_dropout_kl(torch.tensor(0.5), method="other")
    assert gaussian_dropout_kl(torch.tensor(1.5), validate_args=False).isfinite()
    with pyro.validation_enabled(False):
        assert gaussian_dropout_kl(torch.tensor(1.5)).isfinite()


def test_captured_without_validation():
    graph = make_fx(lambda tau: gaussian_dropout_kl(tau, validate_args=False))(torch.tensor(0.5))
    torch.testing.assert_close(graph(torch.tensor(0.3)), gaussian_dropout_kl(torch.tensor(0.3)))
