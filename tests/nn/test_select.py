"""One component of a mixture: enumerated or drawn, against plain indexing."""

from __future__ import annotations

import pytest
import torch

from pyro_mixvae.distributions import GaussianMixture
from pyro_mixvae.nn import select_component

K, D = 3, 2


def mixture(*batch: int) -> GaussianMixture:
    return GaussianMixture(torch.zeros(K), torch.randn(*batch, K, D), torch.rand(*batch, K, D) + 0.1)


@pytest.mark.parametrize("batch", [(), (5,), (K,), (1,), (4, 5), (4, K), (K, K), (2, 1, 3)], ids=str)
def test_drawn(batch):
    """As many data as components, a single datum, vectorised particles: one entry of c for each of the mixtures."""
    m = mixture(*batch)
    c = torch.randint(K, batch)
    chosen = select_component(m, c)
    assert chosen.batch_shape == batch and chosen.event_shape == (D,)
    index = torch.nn.functional.one_hot(c, K).bool()
    torch.testing.assert_close(chosen.base_dist.loc, m.locs[index].reshape(*batch, D))
    torch.testing.assert_close(chosen.base_dist.scale, m.scales[index].reshape(*batch, D))


@pytest.mark.parametrize("batch", [(5,), (K,), (1,), (4, 5), (K, K)], ids=str)
@pytest.mark.parametrize("extra", [0, 1, 2])
def test_enumerated(batch, extra):
    """c is [K, 1, ..., 1], with further enumerated dimensions between it and the batch."""
    m = mixture(*batch)
    c = torch.arange(K).reshape(K, *(1,) * (extra + len(batch)))
    chosen = select_component(m, c)
    assert chosen.batch_shape == (K, *(1,) * extra, *batch)
    for k in range(K):
        torch.testing.assert_close(chosen.base_dist.loc[k].reshape(*batch, D), m.locs[..., k, :])
        torch.testing.assert_close(chosen.base_dist.scale[k].reshape(*batch, D), m.scales[..., k, :])


def test_enumerated_along_the_batch():
    """Pyro's sequential enumeration and expanded supports: c is [K, B] or [B] of one value."""
    m = mixture(5)
    expanded = select_component(m, torch.arange(K).reshape(K, 1).expand(K, 5))
    torch.testing.assert_close(expanded.base_dist.loc, m.locs.movedim(-2, 0))
    one = select_component(m, torch.full((5,), 2))
    torch.testing.assert_close(one.base_dist.loc, m.locs[:, 2])


def test_gradient_of_both_ways_is_the_same():
    locs = torch.randn(5, K, D, requires_grad=True)
    m = GaussianMixture(torch.zeros(K), locs, torch.ones(5, K, D))
    weight = torch.randn(K, 5, D)
    view = (select_component(m, torch.arange(K).reshape(K, 1)).base_dist.loc * weight).sum()
    gather = (select_component(m, torch.arange(K).reshape(K, 1).expand(K, 5)).base_dist.loc * weight).sum()
    for total in (view, gather):
        (gradient,) = torch.autograd.grad(total, locs, retain_graph=True)
        torch.testing.assert_close(gradient, weight.movedim(0, 1))


@pytest.mark.parametrize("shape", [(K,), (K, 1)], ids=str)
def test_draws_from_one_mixture_for_all_data_are_not_taken_for_enumerated(shape):
    """A prior without batch dimensions, and as many data (or particles) as components."""
    m = mixture()
    c = torch.tensor([2, 0, 2]).reshape(shape)
    torch.testing.assert_close(select_component(m, c).base_dist.loc, m.locs[c])


def test_as_many_draws_as_components_for_one_datum():
    """K draws have the shape of an enumerated c: which component each is of is in its value, not in its place."""
    m, c = mixture(1), torch.tensor([[2], [0], [2]])
    torch.testing.assert_close(select_component(m, c).base_dist.loc, m.locs[0, c])
