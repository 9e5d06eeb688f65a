"""The standard Gaussian prior."""

from __future__ import annotations

import math

import pytest
import torch

from pyro_mixvae.priors import StandardNormal


def test_density():
    prior = StandardNormal(3)()
    assert prior.batch_shape == () and prior.event_shape == (3,)
    z = torch.randn(5, 3)
    torch.testing.assert_close(prior.log_prob(z), -0.5 * z.square().sum(-1) - 1.5 * math.log(2 * math.pi))


def test_follows_its_module():
    """Nothing to train or to save, but it moves to another precision with the model it belongs to."""
    prior = StandardNormal(2)
    assert not list(prior.parameters()) and not prior.state_dict()
    assert prior.double()().sample().dtype == torch.float64


@pytest.mark.parametrize("dim", [0, -1])
def test_dimension_is_refused(dim):
    with pytest.raises(ValueError, match=f"dim: expected an integer >= 1, got {dim}"):
        StandardNormal(dim)
