"""The mixture of posteriors at learned pseudo-inputs."""

from __future__ import annotations

import math

import pyro.distributions as dist
import pytest
import torch

from pyro_mixvae.nn import MLP, diagonal_normal
from pyro_mixvae.priors import VampPrior


def encoder_of(event_shape: tuple[int, ...]):
    network = MLP(event_shape, (4,), hidden_dims=[8])
    return lambda x: diagonal_normal(network(x))


def test_is_the_mixture_of_posteriors(float64) -> None:
    encode = encoder_of((1, 2, 3))
    prior = VampPrior(5, (1, 2, 3), learn_weights=True)
    torch.nn.init.normal_(prior.logits)
    q = encode(prior.pseudo_inputs)
    z = torch.randn(7, 2)
    by_hand = (prior.logits.log_softmax(0) + q.log_prob(z.unsqueeze(1))).logsumexp(-1)
    torch.testing.assert_close(prior(encode).log_prob(z), by_hand)


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-0.5, 0.5), (-math.inf, math.inf)])
def test_pseudo_inputs_stay_in_the_range(bounds) -> None:
    low, high = bounds
    encode = encoder_of((6,))
    prior = VampPrior(4, (6,), low, high)
    assert prior.pseudo_inputs.min() >= low and prior.pseudo_inputs.max() <= high
    optimizer = torch.optim.SGD(prior.parameters(), lr=100.0)
    before = prior.pseudo_inputs.detach().clone()
    for _ in range(5):
        optimizer.zero_grad()
        prior(encode).log_prob(torch.full((2,), 3.0)).neg().backward()
        optimizer.step()
    assert prior.pseudo_inputs.min() >= low and prior.pseudo_inputs.max() <= high
    assert not torch.allclose(prior.pseudo_inputs, before)


def test_starts_at_data_exactly() -> None:
    x = torch.rand(20, 3).round()
    torch.testing.assert_close(VampPrior.from_data(x).pseudo_inputs, x, rtol=0, atol=0)
    some = VampPrior.from_data(x + torch.arange(20.0).unsqueeze(1) / 100, 6, high=2.0).pseudo_inputs
    numbers = (some.frac() * 100).round()[:, 0]
    assert len(some) == 6 and len(numbers.unique()) == 6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: VampPrior.from_data(x, 21), "num_components: .* as there are data, 20, got 21"),
        (lambda x: VampPrior(21, (3,)).start_at(x), "num_components: .* as there are data, 20, got 21"),
        (lambda x: VampPrior.from_data(x - 1), r"x: expected values in \[0, 1\], got values in"),
        (lambda x: VampPrior.from_data(x * math.nan), r"x: expected values in \[0, 1\], got values in \[nan"),
        (lambda x: VampPrior(2, (4,)).start_at(x), r"x: expected shape \[N, 4\], got \[20, 3\]"),
        (lambda x: VampPrior(0, (4,)), "num_components: expected an integer >= 1, got 0"),
        (lambda x: VampPrior(2, ()), "event_shape: expected sizes >= 1"),
        (lambda x: VampPrior(2, (3,), 1.0, 1.0), "low: expected low < high, got low = 1.0 and high = 1.0"),
        (lambda x: VampPrior(2, (3,), start="zero"), 'start: expected "noise" or "data", got \'zero\''),
    ],
)
def test_bad_input(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make(torch.rand(20, 3))


def test_encoder_may_be_any_function() -> None:
    prior = VampPrior(3, (2,))
    mixture = prior(lambda u: dist.Normal(u, 0.5 * torch.ones_like(u)).to_event(1))
    torch.testing.assert_close(mixture.locs, prior.pseudo_inputs)
