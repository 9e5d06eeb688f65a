"""The mixture prior: parameters, a network, or fixed components."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import softplus

from pyro_mixvae.nn import MLP
from pyro_mixvae.priors import GaussianMixturePrior


def test_starts_where_it_is_told() -> None:
    locs = [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    mixture = GaussianMixturePrior(3, 2, locs=locs, scale=0.05)()
    torch.testing.assert_close(mixture.locs, torch.tensor(locs))
    torch.testing.assert_close(mixture.scales, torch.full((3, 2), 0.05))
    torch.testing.assert_close(mixture.logits.exp(), torch.full((3,), 1 / 3))


def test_components_differ_at_the_start() -> None:
    for prior in (GaussianMixturePrior(50, 4), GaussianMixturePrior(50, 4, network=True)):
        locs = prior().locs.detach()
        assert torch.cdist(locs, locs).add(torch.eye(50) * 9).min() > 0.05


@pytest.mark.parametrize("learn_weights", [True, False])
@pytest.mark.parametrize("fixed", [True, False])
def test_what_is_learned(learn_weights: bool, fixed: bool) -> None:
    prior = GaussianMixturePrior(3, 2, learn_weights=learn_weights, fixed=fixed)
    learned = {name for name, _ in prior.named_parameters()}
    assert learned == ({"logits"} if learn_weights else set()) | (set() if fixed else {"locs", "raw_scales"})
    assert set(prior.state_dict()) == {"logits", "locs", "raw_scales"}


def test_network_of_table_vi(float64) -> None:
    """One-hot k -> FC 784, ReLU -> FC 256, ReLU -> FC 2D: the rows of the first layer are the learned inputs."""
    prior = GaussianMixturePrior(5, 3, network=True)
    shapes = [tuple(parameter.shape) for parameter in prior.parameters()]
    assert shapes == [(5, 784), (256, 784), (256,), (6, 256), (6,)]
    first, _, last = prior.network.layers
    one_hot = torch.eye(5)
    hidden = (one_hot @ prior.inputs).relu() @ first.weight.T + first.bias
    loc, raw = (hidden.relu() @ last.weight.T + last.bias).chunk(2, -1)
    torch.testing.assert_close(prior().locs, loc)
    torch.testing.assert_close(prior().scales, softplus(raw) + 1e-4)


def test_own_network_and_gated_one() -> None:
    for network in (MLP((6,), (4,), hidden_dims=[5]), {"hidden_dims": [5], "gated": True}):
        prior = GaussianMixturePrior(3, 2, network=network, input_dim=6)
        prior().log_prob(torch.randn(10, 2)).sum().backward()
        assert all(parameter.grad.abs().max() > 0 for parameter in prior.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_components": 0}, "num_components: expected an integer >= 1, got 0"),
        ({"dim": 0}, "dim: expected an integer >= 1, got 0"),
        ({"input_dim": 0, "network": True}, "input_dim: expected an integer >= 1, got 0"),
        ({"scale": 1e-30}, "scale: expected a finite number > 0.0001, below which it underflows, got 1e-30"),
        ({"scale": 0.0}, "got 0.0"),
        ({"scale": float("nan")}, "got nan"),
        ({"locs": [[0.0]]}, r"locs: expected shape \[3, 2\], got \[1, 1\]"),
        ({"locs": torch.full((3, 2), float("inf"))}, "locs: expected finite numbers"),
        ({"network": True, "fixed": True}, "locs, scale, fixed: with a network they cannot be given"),
        ({"network": {"kind": "mpl"}}, "network: unknown kind of network 'mpl'.*did you mean 'mlp'"),
    ],
    ids=str,
)
def test_bad_input(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        GaussianMixturePrior(**{"num_components": 3, "dim": 2} | options)
