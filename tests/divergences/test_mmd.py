"""MMD against loops over its definition, and what a two-sample measure must do."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pyro_mixvae.divergences import mmd
from pyro_mixvae.testing import SampleDivergenceChecks


class TestIMQ(SampleDivergenceChecks):
    kernel = "imq"

    def divergence(self, *samples: Tensor) -> Tensor:
        return mmd(*samples, kernel=self.kernel)

    def samples(self) -> tuple[Tensor, ...]:
        return torch.randn(8, 2, dtype=torch.float64), 0.5 + torch.randn(11, 2, dtype=torch.float64)

    def zero_samples(self) -> tuple[Tensor, ...]:
        """Each row twice, in another order: the same empirical distribution."""
        x = torch.randn(6, 3).double()
        return x, torch.cat([x, x])[torch.randperm(12)]


class TestGaussian(TestIMQ):
    kernel = "gaussian"


@pytest.mark.parametrize("kernel", ["imq", "gaussian"])
def test_against_loops_over_the_definition(kernel):
    sigma, x, y = 1.3, torch.randn(5, 2).double(), torch.randn(7, 2).double()
    scale = 2 * 2 * sigma**2

    def similarity(a: Tensor, b: Tensor) -> float:
        square = float(sum((s - t) ** 2 for s, t in zip(a, b, strict=True)))
        return scale / (scale + square) if kernel == "imq" else math.exp(-square / scale)

    def mean(a: Tensor, b: Tensor) -> float:
        return sum(similarity(s, t) for s in a for t in b) / (len(a) * len(b))

    expected = mean(x, x) + mean(y, y) - 2 * mean(x, y)
    assert float(mmd(x, y, kernel=kernel, bandwidth=sigma)) == pytest.approx(expected, abs=1e-14)


def test_gaussian_kernel_against_its_closed_form():
    """For N(0, 1) and N(d, 1) with C = 2 the squared MMD is 2 / sqrt(3) (1 - exp(-d^2 / 6)).

    The V-statistic of n draws each exceeds it by 2 / n (1 - 1 / sqrt(3)) on average, the share of the diagonals.
    The standard error is that of 50 repetitions; fail beyond 4.5.
    """
    n, distance = 200, 1.0
    values = mmd(torch.randn(50, n, 1), distance + torch.randn(50, n, 1), kernel="gaussian")
    expected = 2 / math.sqrt(3) * (1 - math.exp(-(distance**2) / 6)) + (1 - 1 / math.sqrt(3)) * 2 / n
    assert abs(values.mean() - expected) < 4.5 * values.std() / math.sqrt(50)


def test_batches_are_kept_apart():
    x, y = torch.randn(3, 2, 6, 4), torch.randn(2, 9, 4)
    values = mmd(x, y)
    assert values.shape == (3, 2)
    torch.testing.assert_close(values[2, 1], mmd(x[2, 1], y[1]))


def test_masked_data_do_not_enter():
    x, y = torch.randn(6, 2, requires_grad=True), torch.randn(9, 2)
    mask = torch.tensor([True, False, True, True, False, True])
    torch.testing.assert_close(mmd(x, y, mask=mask), mmd(x[mask], y))
    (gradient,) = torch.autograd.grad(mmd(x, y, mask=mask), x)
    assert (gradient[~mask] == 0).all()
    batch = torch.randn(3, 6, 2)
    torch.testing.assert_close(mmd(batch, y, mask=mask)[1], mmd(batch[1][mask], y))


def test_grows_with_the_distance():
    x, y = torch.randn(50, 3), torch.randn(50, 3)
    values = [float(mmd(x, y + d)) for d in range(5)]
    assert values == sorted(values)


def test_refused():
    with pytest.raises(ValueError, match="kernel must be"):
        mmd(torch.zeros(2, 1), torch.zeros(2, 1), kernel="linear")
    with pytest.raises(ValueError, match="x and y must have shapes"):
        mmd(torch.zeros(2, 1), torch.zeros(2, 3))


def test_without_any_row_it_is_zero_and_so_is_its_gradient():
    x = torch.randn(4, 2, requires_grad=True)
    value = mmd(x, torch.randn(5, 2), mask=torch.zeros(4, dtype=torch.bool))
    assert value == 0
    assert (torch.autograd.grad(value, x)[0] == 0).all()


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        (((0, 2), (3, 2)), {}, "at least one row"),
        (((2, 4, 2), (3, 4, 2)), {}, "must broadcast"),
        (((4, 2), (4, 2)), {"mask": torch.ones(3, dtype=torch.bool)}, r"mask must .* 4, got \(3,\)"),
        (((4, 2), (4, 2)), {"bandwidth": 0.0}, "bandwidth must be a finite number > 0, got 0.0"),
    ],
)
def test_what_does_not_fit_is_refused(shapes, options, message):
    with pytest.raises(ValueError, match=message):
        mmd(*(torch.zeros(shape) for shape in shapes), **options)
