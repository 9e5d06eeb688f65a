"""dHSIC against a loop over its definition and against HSIC; its permutation test against the uniform."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, chisquare
from torch import Tensor

from pyro_mixvae.divergences import dhsic, dhsic_test
from pyro_mixvae.testing import SampleDivergenceChecks


class TestDHSIC(SampleDivergenceChecks):
    paired = True

    def divergence(self, *samples: Tensor) -> Tensor:
        return dhsic(samples, bandwidth=[0.7, 1.0, 1.5])

    def samples(self) -> tuple[Tensor, ...]:
        common = torch.randn(12, 1, dtype=torch.float64)
        return tuple(common + torch.randn(12, d, dtype=torch.float64) for d in (1, 2, 3))

    def zero_samples(self) -> tuple[Tensor, ...]:
        """All but one variable constant: independent whatever the other does."""
        return torch.zeros(12, 1).double(), torch.randn(12, 2).double(), torch.ones(12, 3).double()


class TestDHSICWithMedianBandwidth(TestDHSIC):
    test_gradients = None  # the bandwidth is held fixed in backward but not in finite differences

    def divergence(self, *samples: Tensor) -> Tensor:
        return dhsic(samples)


def by_loops(codes: list[np.ndarray]) -> float:
    """The definition, number by number."""
    n = len(codes[0])
    kernels = []
    for z in codes:
        squares = [sum((z[i] - z[j]) ** 2) for i, j in itertools.combinations(range(n), 2)]
        h2 = np.median(squares) / 2 or 1e-6
        kernels.append([[math.exp(-sum((z[i] - z[j]) ** 2) / (2 * h2)) for j in range(n)] for i in range(n)])
    joint = sum(math.prod(k[i][j] for k in kernels) for i in range(n) for j in range(n)) / n**2
    product = math.prod(sum(map(sum, k)) / n**2 for k in kernels)
    cross = sum(math.prod(sum(k[i]) / n for k in kernels) for i in range(n))
    return joint + product - 2 / n * cross


@pytest.mark.parametrize("n", [8, 9, 12, 13])
@pytest.mark.parametrize("num_dims", [(1, 1), (2, 1, 3), (1, 2, 1, 1)])
def test_against_loops_over_the_definition(n, num_dims):
    """Even and odd numbers of pairs: 28, 36, 66, 78 distances; 45, 55 below."""
    codes = [torch.randn(n, d).double() for d in num_dims]
    expected = by_loops([code.numpy() for code in codes])
    assert float(dhsic(codes)) == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("n", [10, 11])
def test_median_of_an_odd_number_of_pairs(n):
    codes = [torch.randn(n, 2).double() for _ in range(3)]
    assert float(dhsic(codes)) == pytest.approx(by_loops([code.numpy() for code in codes]), abs=1e-14)


def test_ties_among_the_distances():
    codes = [torch.randint(0, 3, (9, 2)).double() for _ in range(3)]
    assert float(dhsic(codes)) == pytest.approx(by_loops([code.numpy() for code in codes]), abs=1e-14)


def test_two_variables_are_hsic():
    """The biased estimate trace(K H L H) / n^2 of Gretton et al. 2005."""
    n, h = 20, (0.8, 1.7)
    x, y = torch.randn(n, 2).double(), torch.randn(n, 3).double()
    kernel_x, kernel_y = (torch.exp(-torch.cdist(z, z).square() / (2 * b**2)) for z, b in zip((x, y), h, strict=True))
    centring = torch.eye(n).double() - 1 / n
    torch.testing.assert_close(dhsic([x, y], h), torch.trace(kernel_x @ centring @ kernel_y @ centring) / n**2)


def test_bandwidth_one_number_or_one_for_each():
    codes = [torch.randn(10, 2) for _ in range(3)]
    for given in ([0.7] * 3, (0.7, torch.tensor(0.7), 0.7), torch.full((3,), 0.7), torch.tensor(0.7)):
        torch.testing.assert_close(dhsic(codes, given), dhsic(codes, 0.7))
    bandwidth = torch.tensor(0.7, requires_grad=True)
    (gradient,) = torch.autograd.grad(dhsic(codes, bandwidth), bandwidth)
    assert gradient != 0


def test_median_heuristic_is_held_fixed_in_backward():
    codes = [torch.randn(10, 2).double().requires_grad_() for _ in range(2)]
    medians = [torch.pdist(code).square().quantile(0.5) for code in codes]
    fixed = dhsic(codes, [(median / 2).sqrt().detach() for median in medians])
    for one, other in zip(torch.autograd.grad(dhsic(codes), codes), torch.autograd.grad(fixed, codes), strict=True):
        torch.testing.assert_close(one, other)


def test_bandwidth_where_most_samples_coincide():
    """A median of zero gives h = 0.001: the one sample that differs has no similarity to the others."""
    z = torch.zeros(8, 1).double()
    z[0] = 1
    kernel = (z == z.T).double()
    torch.testing.assert_close(dhsic([z, z]), (kernel.mean() - 2 * (kernel.mean(1) ** 2).mean() + kernel.mean() ** 2))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(8, 1)], "at least 2 variables, got 1"),
        ([(8, 1), (9, 1)], "same n, got shapes"),
        ([(8,), (8,)], "same n, got shapes"),
        ([(5, 1)] * 3, "at least 2 K = 6 rows for K = 3, got 5"),
    ],
)
def test_refused(shapes, message):
    codes = [torch.zeros(shape) for shape in shapes]
    with pytest.raises(ValueError, match=message):
        dhsic(codes)
    with pytest.raises(ValueError, match=message):
        dhsic_test(codes, 10)


def test_wrong_number_of_bandwidths_is_refused():
    with pytest.raises(ValueError, match="bandwidth must be one number or 2, one for each variable, got 3"):
        dhsic([torch.zeros(8, 1)] * 2, [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="num_permutations must be positive, got 0"):
        dhsic_test([torch.zeros(8, 1)] * 2, 0)


# The permutation test.


@pytest.mark.parametrize("num_variables", [2, 3])
def test_p_values_are_uniform_under_independence(num_variables):
    """400 tests with 19 permutations: each of the 20 possible p-values equally often (chi-square, p > 1e-5)."""
    p_values = [dhsic_test([torch.randn(10, 1) for _ in range(num_variables)], 19).p_value for _ in range(400)]
    counts = torch.bincount((20 * torch.stack(p_values)).round().long(), minlength=21)[1:]
    assert counts.sum() == 400
    assert chisquare(counts.numpy()).pvalue > 1e-5


def test_p_values_with_ties_are_conservative():
    """Binary codes have few distinct statistics: P(p <= 0.1) <= 0.1 all the same (binomial, p > 1e-5)."""
    rejected = sum(
        bool(dhsic_test([torch.randint(0, 2, (8, 1)).float() for _ in range(2)], 19).p_value <= 0.1) for _ in range(300)
    )
    assert binomtest(rejected, 300, 0.1, alternative="greater").pvalue > 1e-5


def test_constant_codes_are_a_tie_throughout():
    assert dhsic_test([torch.randn(8, 1), torch.ones(8, 2)], 20).p_value == 1


def test_joint_dependence_is_found_where_each_pair_is_independent():
    """z3 = sign(z1 z2): pairwise independent, jointly not."""
    z1, z2 = torch.randn(2, 60, 1)
    z3 = (z1 * z2).sign() + 0.1 * torch.randn(60, 1)
    assert dhsic_test([z1, z2, z3], 199).p_value == 1 / 200
    assert dhsic_test([z1, z3], 199).p_value > 0.01


def test_the_generator_alone_decides():
    codes = [torch.randn(12, 1).requires_grad_() for _ in range(3)]
    state = torch.get_rng_state()
    one, other = (dhsic_test(codes, 30, generator=torch.Generator().manual_seed(5)) for _ in range(2))
    assert one == other
    assert torch.equal(torch.get_rng_state(), state)
    assert not one.statistic.requires_grad
    torch.testing.assert_close(one.statistic.float(), dhsic(codes).detach())


@pytest.mark.parametrize("bandwidth", [0.0, -1.0, [1.0, math.nan]])
def test_a_bandwidth_that_is_none_is_refused(bandwidth):
    with pytest.raises(ValueError, match="bandwidth must be a finite number > 0"):
        dhsic([torch.randn(8, 1), torch.randn(8, 1)], bandwidth)
