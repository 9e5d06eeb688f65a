"""Bernoulli and Normal likelihoods against their formulas, and the checks at the boundary."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import softplus

from pyro_mixvae.nn import build_likelihood, diagonal_normal, positive_scale

SHAPES = [(4,), (1, 3, 2)]


@pytest.mark.parametrize("event_shape", SHAPES, ids=str)
@pytest.mark.parametrize("batch", [(), (5,), (2, 5)], ids=str)
def test_grey_bernoulli_is_the_cross_entropy(event_shape, batch):
    likelihood = build_likelihood("bernoulli", event_shape)
    raw, x = 3 * torch.randn(*batch, *likelihood.raw_shape), torch.rand(*batch, *event_shape)
    distribution = likelihood(raw)
    assert distribution.batch_shape == batch and distribution.event_shape == event_shape
    p = raw.reshape(*batch, *event_shape).sigmoid()
    cross_entropy = x * p.log() + (1 - x) * (1 - p).log()
    expected = cross_entropy.reshape(*batch, -1).sum(-1)
    torch.testing.assert_close(distribution.log_prob(x), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(distribution.mean, p)
    assert set(distribution.sample().unique().tolist()) <= {0.0, 1.0}


def test_bernoulli_at_extreme_logits_is_finite():
    likelihood = build_likelihood("bernoulli", (3,))
    raw = torch.tensor([[200.0, -200.0, 200.0]], requires_grad=True)
    log_prob = likelihood(raw).log_prob(torch.tensor([1.0, 0.0, 0.0]))
    assert log_prob.item() == pytest.approx(-200.0)
    log_prob.backward()
    torch.testing.assert_close(raw.grad, torch.tensor([[0.0, 0.0, -1.0]]))


@pytest.mark.parametrize("event_shape", SHAPES, ids=str)
@pytest.mark.parametrize("scale", [0.3, None])
def test_normal(event_shape, scale):
    likelihood = build_likelihood({"name": "normal", "scale": scale}, event_shape)
    assert likelihood.raw_shape == (2 if scale is None else 1, *event_shape)
    raw, x = torch.randn(5, *likelihood.raw_shape), torch.randn(5, *event_shape)
    distribution = likelihood(raw)
    loc = raw[:, 0]
    sd = softplus(raw[:, 1]) + 1e-4 if scale is None else torch.tensor(scale)
    expected = -0.5 * ((x - loc) / sd) ** 2 - sd.log() - 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(distribution.log_prob(x), expected.flatten(1).sum(-1))
    torch.testing.assert_close(distribution.mean, loc)
    assert distribution.event_shape == event_shape


@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, math.nan])
def test_normal_refuses_a_scale(scale):
    with pytest.raises(ValueError, match=r"likelihood\.scale: expected a finite number > 0"):
        build_likelihood({"name": "normal", "scale": scale}, (3,))


@pytest.mark.parametrize(
    "spec, message",
    [
        ("gaussian", "likelihood: expected one of bernoulli, .*normal.*, got 'gaussian'"),
        ("norml", "did you mean 'normal'"),
        ({"scale": 1.0}, "likelihood: expected one of"),
        ({"name": "bernoulli", "scale": 1.0}, "likelihood: .*scale"),
    ],
)
def test_unknown_names_and_options(spec, message):
    with pytest.raises(ValueError, match=message):
        build_likelihood(spec, (3,))


def test_check_names_the_argument_it_is_told():
    likelihood = build_likelihood("bernoulli", (3,))
    likelihood.check(torch.zeros(0, 3))
    likelihood.check(torch.tensor([[0.0, 0.5, 1.0]]))
    with pytest.raises(ValueError, match=r"test data: expected shape \[B, 3\], got \[2, 4\]"):
        likelihood.check(torch.zeros(2, 4), name="test data")


def test_heads():
    raw = torch.tensor([[0.5, -1.0, 3.0, -200.0]])
    q = diagonal_normal(raw)
    assert q.batch_shape == (1,) and q.event_shape == (2,)
    torch.testing.assert_close(q.mean, raw[:, :2])
    torch.testing.assert_close(q.stddev, torch.tensor([[math.log1p(math.exp(3.0)) + 1e-4, 1e-4]]))
    assert (positive_scale(torch.tensor([-1e4, 0.0, 1e4])) > 0).all()


@pytest.mark.parametrize("name", ["bernoulli", "continuous-bernoulli", "normal", "laplace", "discretized-logistic"])
@pytest.mark.parametrize("shape", [(5, 1, 1, 1, 1), (5, 3, 8, 8), (64,), (5, 3, 3, 8, 8)], ids=str)
def test_a_decoder_of_another_shape_is_refused(name, shape):
    """Also one that would broadcast: a single number for all pixels, or one channel for all three."""
    likelihood = build_likelihood(name, (3, 8, 8))
    with pytest.raises(ValueError, match=rf"decoder: expected outputs \[\*, {likelihood.num_params}, 3, 8, 8\]"):
        likelihood(torch.zeros(shape))
