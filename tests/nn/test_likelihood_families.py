"""Each likelihood's density is the one it is named after, integrates to one and refuses what has none."""

from __future__ import annotations

import math

import pytest
import torch

from pyro_mixvae.nn import build_likelihood


def test_laplace(float64) -> None:
    likelihood = build_likelihood({"name": "laplace", "scale": 0.2}, (3,))
    raw, x = torch.randn(5, 1, 3), torch.randn(5, 3)
    by_hand = (-(x - raw[:, 0]).abs() / 0.2 - math.log(0.4)).sum(-1)
    torch.testing.assert_close(likelihood(raw).log_prob(x), by_hand)


@pytest.mark.parametrize("logit", [-30.0, -10.0, -1.0, -0.01, 0.0, 0.3, 5.0, 20.0])
def test_continuous_bernoulli_integrates_to_one(logit: float) -> None:
    distribution = build_likelihood("continuous-bernoulli", (1,))(torch.full((1, 1, 1), logit))
    x = torch.linspace(0, 1, 20_001).reshape(-1, 1)
    density = distribution.log_prob(x).exp().double()
    assert torch.trapezoid(density, dx=1 / 20_000).item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.5, 0.5)])
def test_discretized_logistic(float64, low: float, high: float) -> None:
    likelihood = build_likelihood({"name": "discretized-logistic", "scale": 0.05, "low": low, "high": high}, (1,))
    raw = torch.tensor([[[-1.0]], [[0.0]], [[0.6]], [[1.0]]])
    distribution = likelihood(raw)
    centres = torch.linspace(low, high, 256).reshape(-1, 1, 1)
    torch.testing.assert_close(distribution.log_prob(centres).exp().sum(0), torch.ones(4))
    # outputs -1, 0 and 1 are locations at the lower end, the middle and the upper end
    ends = distribution.base_dist.loc.squeeze(-1)
    torch.testing.assert_close(ends, torch.tensor([low, 0.5 * (low + high), 0.2 * low + 0.8 * high, high]))
    torch.testing.assert_close(distribution.base_dist.scale, torch.full((4, 1), 0.05))


@pytest.mark.parametrize(("name", "start"), [("normal", 1.0), ("laplace", 1.0), ("discretized-logistic", 0.1)])
def test_one_learned_scale(name: str, start: float) -> None:
    likelihood = build_likelihood({"name": name, "scale": "learned"}, (2,))
    assert likelihood.num_params == 1 and len(list(likelihood.parameters())) == 1
    distribution = likelihood(torch.zeros(3, 1, 2))
    torch.testing.assert_close(distribution.base_dist.scale.unique(), torch.tensor([start]))
    distribution.log_prob(torch.full((3, 2), 0.4)).sum().backward()
    assert likelihood.raw_scale.grad.abs() > 0


@pytest.mark.parametrize("name", ["normal", "laplace", "discretized-logistic"])
def test_a_scale_for_each_value(name: str) -> None:
    likelihood = build_likelihood({"name": name, "scale": None}, (2,))
    assert likelihood.raw_shape == (2, 2)
    scale = likelihood(torch.randn(3, 2, 2)).base_dist.scale
    assert scale.shape == (3, 2) and len(scale.unique()) == 6 and (scale > 0).all()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "laplace", "scale": 0.0}, 'likelihood.scale: expected a finite number > 0, "learned" or None, got 0'),
        ({"name": "laplace", "scale": "fixed"}, "got 'fixed'"),
        (
            {"name": "discretized-logistic", "low": 1.0, "high": 0.0},
            "expected finite numbers low < high, got low = 1.0",
        ),
        ({"name": "discretized-logistic", "num_bins": 1}, "num_bins: expected an integer >= 2, got 1"),
        ("laplas", "did you mean 'laplace'"),
    ],
    ids=str,
)
def test_bad_options(spec, message) -> None:
    with pytest.raises(ValueError, match=message):
        build_likelihood(spec, (2,))


@pytest.mark.parametrize("name", ["continuous-bernoulli", "discretized-logistic"])
def test_values_outside_the_range(name: str) -> None:
    with pytest.raises(ValueError, match=r"takes values in \[0, 1\], got values in \[-0.5"):
        build_likelihood(name, (2,)).check(torch.tensor([[-0.5, 0.5]]))
