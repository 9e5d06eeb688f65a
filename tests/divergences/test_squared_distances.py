"""Squared distances: exact differences, gradients without the n x m x D tensor."""

from __future__ import annotations

import pytest
import torch

from pyro_mixvae.divergences import squared_distances as module
from pyro_mixvae.divergences.squared_distances import squared_distances


@pytest.mark.parametrize("block", [1, 7, 2**20])
@pytest.mark.parametrize(("x_shape", "y_shape"), [((5, 3), (4, 3)), ((2, 5, 3), (4, 3)), ((5, 1), (2, 1, 4, 1))])
def test_value_and_gradients(monkeypatch, block, x_shape, y_shape):
    monkeypatch.setattr(module, "MAX_BLOCK", block)
    x, y = torch.randn(x_shape).double().requires_grad_(), torch.randn(y_shape).double().requires_grad_()
    expected = (x.unsqueeze(-2) - y.unsqueeze(-3)).square().sum(-1)
    torch.testing.assert_close(squared_distances(x, y), expected)
    assert torch.autograd.gradcheck(squared_distances, (x, y))
    assert torch.autograd.gradgradcheck(squared_distances, (x, y))


def test_far_from_the_origin_nothing_cancels():
    x = 1e4 + torch.randn(20, 3)
    double = squared_distances(x.double(), x.double())
    torch.testing.assert_close(squared_distances(x, x).double(), double, rtol=1e-6, atol=0)
    weights = torch.randn(20, 20)
    gradients = []
    for dtype in (torch.float32, torch.float64):
        leaf = x.to(dtype).requires_grad_()
        gradients += torch.autograd.grad((weights * squared_distances(leaf, leaf)).sum(), leaf)
    torch.testing.assert_close(gradients[0].double(), gradients[1], rtol=1e-4, atol=1e-4)


def test_diagonal_is_zero_and_matrix_symmetric():
    x = torch.randn(50, 7)
    distances = squared_distances(x, x)
    assert (distances.diagonal() == 0).all()
    assert torch.equal(distances, distances.T)
