"""DiscretizedLogistic: the battery, its bins, and its tails in single precision."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pyro_mixvae.distributions import DiscretizedLogistic
from pyro_mixvae.testing import DistributionChecks


class TestBattery(DistributionChecks):
    distribution = DiscretizedLogistic

    def parameters(self, batch_shape, dtype):
        loc = torch.empty(batch_shape, dtype=dtype).uniform_(-0.4, 0.4)
        return {"loc": loc, "scale": torch.empty(batch_shape, dtype=dtype).uniform_(0.02, 0.2)}


class TestBatteryOfFewBins(TestBattery):
    constants = {"low": -1.0, "high": 1.0, "num_bins": 5}  # noqa: RUF012


def test_bins():
    d = DiscretizedLogistic(torch.tensor(0.2, dtype=torch.float64), 0.3, low=-1.0, high=1.0, num_bins=5)
    cdf = stats.logistic(0.2, 0.3).cdf
    edges = torch.tensor(cdf([-0.75, -0.25, 0.25, 0.75]))
    expected = torch.cat([edges, torch.ones(1)]) - torch.cat([torch.zeros(1), edges])
    torch.testing.assert_close(d.enumerate_support(), torch.linspace(-1, 1, 5, dtype=torch.float64))
    torch.testing.assert_close(d.log_prob(d.enumerate_support()).exp(), expected)


def test_pixels_fall_into_their_own_bin():
    """The 256 pixel values give all bins, in order, in single precision."""
    d = DiscretizedLogistic(0.0, 0.1)
    pixels = torch.arange(256) / 255 - 0.5
    torch.testing.assert_close(d.log_prob(pixels), d.log_prob(d.enumerate_support()))
    assert torch.equal(d._nearest(pixels), torch.arange(256.0))


def test_values_between_centres_stand_for_the_nearer():
    d = DiscretizedLogistic(0.0, 1.0, low=0.0, high=10.0, num_bins=11)
    assert torch.equal(d.log_prob(torch.tensor([2.6, 3.4])), d.log_prob(torch.tensor([3.0, 3.0])))


@given(st.floats(-3, 3), st.floats(-1e4, 1e4), st.sampled_from([2, 3, 256]))
@settings(deadline=None, max_examples=60)
def test_every_bin_is_finite_in_single_precision(log10_scale, loc, num_bins):
    parameters = [torch.tensor(x, requires_grad=True) for x in (loc, 10.0**log10_scale)]
    d = DiscretizedLogistic(*parameters, num_bins=num_bins)
    log_prob = d.log_prob(d.enumerate_support())
    assert log_prob.isfinite().all()
    assert log_prob.logsumexp(0).abs() < 2e-4
    for gradient in torch.autograd.grad(log_prob.sum(), parameters):
        assert gradient.isfinite()


@given(st.floats(-3, 3), st.floats(-2, 2))
@settings(deadline=None, max_examples=30)
def test_single_precision_agrees_with_double(log10_scale, loc):
    """Up to the rounding of ``loc``, which is a bin's distance from it times 1e-7, in units of ``scale``."""
    single = DiscretizedLogistic(torch.tensor(loc), torch.tensor(10.0**log10_scale))
    double = DiscretizedLogistic(single.loc.double(), single.scale.double())
    difference = single.log_prob(single.enumerate_support()) - double.log_prob(double.enumerate_support())
    assert (difference.abs() < 1e-5 + 4e-7 * 3 / single.scale).all()


def test_moments_against_sums():
    d = DiscretizedLogistic(torch.tensor([-5.0, 0.1, 5.0]), torch.tensor([1e-3, 0.2, 1e3]))
    x = d.enumerate_support().double()
    probs = DiscretizedLogistic(d.loc.double(), d.scale.double()).log_prob(x).exp()
    mean = (probs * x).sum(0)
    torch.testing.assert_close(d.mean, mean.float())
    torch.testing.assert_close(d.variance, (probs * (x - mean).square()).sum(0).float(), atol=1e-9, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"low": 1.0, "high": 1.0}, "low must be below high, got low = 1.0 and high = 1.0"),
        ({"num_bins": 1}, "num_bins must be at least 2, got 1"),
        ({"scale": 0.0}, "scale"),
    ],
)
def test_errors_name_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        DiscretizedLogistic(**{"loc": 0.0, "scale": 1.0, **arguments})


def test_values_out_of_range_are_refused():
    with pytest.raises(ValueError, match="support"):
        DiscretizedLogistic(0.0, 1.0).log_prob(torch.tensor(0.7))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("low", "high", "num_bins"), [(0.1, 0.7, 8), (-0.3, 0.9, 256), (-0.1, 0.2, 8)])
def test_its_own_values_are_in_its_support(dtype, low, high, num_bins):
    pixel = DiscretizedLogistic(torch.zeros(100, dtype=dtype), 5.0, low, high, num_bins, validate_args=True)
    assert pixel.log_prob(pixel.enumerate_support()).logsumexp(0).abs().max() < 1e-5
    assert pixel.log_prob(pixel.sample((100,))).isfinite().all()
