"""A block of pairs whose gradient is written out: the one that autograd finds, to the last digits and once more."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from pyro_mixvae.divergences.log_row_sums import by_autograd, log_row_sums

SHAPES = [((), ()), ((2,), (2,)), ((2,), ()), ((1,), (3,)), ((2, 1), (3,))]


def arguments(of_rows: tuple[int, ...] = (), of_columns: tuple[int, ...] = (), dtype=torch.float64) -> list[Tensor]:
    """Four rows, six columns, three dimensions."""
    torch.manual_seed(0)
    rows, columns = (*of_rows, 4, 3), (*of_columns, 6, 3)
    values = [
        torch.randn(columns[:-1]).log_softmax(-1),
        torch.randn(rows),
        torch.rand(rows) + 0.5,
        torch.randn(columns),
        torch.rand(columns) + 0.5,
    ]
    return [value.to(dtype).requires_grad_() for value in values]


@pytest.mark.parametrize(("of_rows", "of_columns"), SHAPES)
def test_value_and_gradients(of_rows, of_columns):
    values = arguments(of_rows, of_columns)
    plain, block = by_autograd(*values), log_row_sums(*values)
    assert torch.equal(plain, block)
    upstream = torch.randn_like(plain)
    expected, found = (torch.autograd.grad(result, values, upstream) for result in (plain, block))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
    assert gradcheck(log_row_sums, values)
    assert gradgradcheck(log_row_sums, values)


@pytest.mark.parametrize("wanted", [[0], [1], [2], [3], [4], [1, 3]])
def test_only_what_is_wanted(wanted):
    values = [value if index in wanted else value.detach() for index, value in enumerate(arguments())]
    chosen = [values[index] for index in wanted]
    expected, found = (torch.autograd.grad(f(*values).sum(), chosen) for f in (by_autograd, log_row_sums))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)


def test_components_without_weight():
    values = arguments()
    with torch.no_grad():
        values[0][:2] = -torch.inf
    expected, found = (torch.autograd.grad(f(*values).sum(), values) for f in (by_autograd, log_row_sums))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
    with torch.no_grad():
        values[0][:] = -torch.inf
    for gradient in torch.autograd.grad(log_row_sums(*values).sum(), values):
        assert not gradient.isnan().any()


def test_single_precision():
    """As good as autograd's own."""
    exact = torch.autograd.grad(by_autograd(*(values := arguments())).sum(), values)
    single = [value.detach().float().requires_grad_() for value in values]
    found = torch.autograd.grad(log_row_sums(*single).sum(), single)
    for value, expected in zip(found, exact, strict=True):
        torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-6)
