"""Every kind of Gaussian as weights, locations and scales, expanded dimensions collapsed."""

from __future__ import annotations

import pyro.distributions as dist
import pytest
import torch
from torch.distributions import Categorical, Independent, Laplace, MixtureSameFamily, Normal

from pyro_mixvae.distributions import GaussianMixture
from pyro_mixvae.divergences.gaussian_components import collapse_expanded, gaussian_components


def test_what_repeats_is_collapsed_and_nothing_else():
    tensor = torch.randn(2, 1, 3, 4)
    assert collapse_expanded(tensor.expand(5, 2, 6, 3, 4), 1).shape == (1, 2, 1, 3, 4)
    assert collapse_expanded(torch.randn(1, 1).expand(3, 4), 1).shape == (1, 4)
    assert collapse_expanded(tensor, 1) is tensor


@pytest.mark.parametrize(
    ("distribution", "shape"),
    [
        (dist.Normal(torch.zeros(5), 1.0), (5, 1, 1)),
        (dist.Normal(torch.zeros(5, 2), 1.0).to_event(1), (5, 1, 2)),
        (dist.Normal(torch.zeros(5, 2, 3), 1.0).to_event(2), (5, 1, 6)),
        (dist.Normal(torch.zeros(2), 1.0).expand([5, 2]).to_event(1), (1, 1, 2)),
        (dist.Normal(torch.zeros(2), 1.0).to_event(1).expand([4, 5]), (1, 1, 1, 2)),
        (Independent(Independent(Normal(torch.zeros(5, 2, 3), 1.0), 1), 1), (5, 1, 6)),
        (GaussianMixture(torch.zeros(7), torch.zeros(7, 2), torch.ones(7, 2)).expand([5]), (1, 7, 2)),
        (GaussianMixture(torch.zeros(5, 7), torch.zeros(7, 2), torch.ones(7, 2)), (5, 7, 2)),
        (MixtureSameFamily(Categorical(torch.ones(5, 7)), Normal(torch.zeros(5, 7), 1.0)), (5, 7, 1)),
        (
            MixtureSameFamily(Categorical(torch.ones(7)), Independent(Normal(torch.zeros(7, 2), 1.0), 1)),
            (7, 2),
        ),
    ],
)
def test_shapes(distribution, shape):
    components = gaussian_components(distribution)
    assert components.locs.shape == components.scales.shape == shape
    assert components.log_weights.shape == shape[:-1]
    torch.testing.assert_close(components.log_weights.exp().sum(-1), torch.ones(shape[:-2]))


def test_partly_shared_parameters_keep_the_batch_that_differs():
    locs = torch.zeros(7, 2).expand(5, 7, 2)
    components = gaussian_components(GaussianMixture(torch.zeros(5, 7), locs, torch.ones(7, 2).expand(5, 7, 2)))
    assert components.batch_shape == (5,)
    assert components.locs.stride(0) == 0
    assert not components.is_shared


def test_other_distributions_have_none():
    assert gaussian_components(Laplace(0.0, 1.0)) is None
    mixture = MixtureSameFamily(Categorical(torch.ones(2)), Laplace(torch.zeros(2), 1.0))
    assert gaussian_components(mixture) is None
