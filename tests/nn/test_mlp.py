"""Fully connected networks, and networks by description."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pyro_mixvae.nn import MLP, build_network


@pytest.mark.parametrize("leading", [(), (7,), (2, 7), (3, 1, 7)], ids=str)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_leading_dimensions(leading, batch_norm):
    """Any number of them, and the same result as one row at a time (batch norm in evaluation)."""
    network = MLP((1, 4), (2, 5), hidden_dims=[6], batch_norm=batch_norm).eval()
    x = torch.randn(*leading, 1, 4)
    out = network(x)
    assert out.shape == (*leading, 2, 5)
    rows = torch.stack([network(row.unsqueeze(0))[0] for row in x.reshape(-1, 1, 4)])
    torch.testing.assert_close(out.reshape(-1, 2, 5), rows)


def test_by_hand():
    network = MLP((3,), (2,), hidden_dims=[4, 5], activation="tanh")
    first, _, second, _, last = network.layers
    x = torch.randn(6, 3)
    hidden = torch.tanh(torch.tanh(x @ first.weight.T + first.bias) @ second.weight.T + second.bias)
    torch.testing.assert_close(network(x), hidden @ last.weight.T + last.bias)


def test_no_hidden_layer_is_linear():
    assert [type(layer) for layer in MLP((3,), (2,), hidden_dims=[]).layers] == [nn.Linear]


def test_batch_norm_runs_over_all_leading_dimensions():
    network = MLP((3,), (2,), hidden_dims=[4], batch_norm=True)
    linear, norm = network.layers[:2]
    assert linear.bias is None
    x = torch.randn(5, 7, 3)
    network(x)
    torch.testing.assert_close(norm.running_mean, 0.1 * (x @ linear.weight.T).mean((0, 1)))


def test_by_description():
    network = build_network({"kind": "mlp", "hidden_dims": [9], "activation": "elu"}, (2, 3), (4,), "encoder")
    assert isinstance(network, MLP) and network.layers[0].out_features == 9
    assert isinstance(build_network({}, (2,), (4,), "encoder"), MLP)
    own = nn.Linear(2, 4)
    assert build_network(own, (2,), (4,), "encoder") is own


@pytest.mark.parametrize(
    "spec, message",
    [
        ({"kind": "mpl"}, "decoder: unknown kind of network 'mpl', expected one of mlp.*; did you mean 'mlp'?"),
        ({"hidden_dim": [3]}, "decoder: .*hidden_dim"),
        ({"hidden_dims": [3, 0]}, r"decoder: hidden_dims: expected widths >= 1, got \[3, 0\]"),
        ({"activation": "rellu"}, "decoder: activation: expected one of relu.*got 'rellu'"),
        ("mlp", "decoder: expected a mapping such as .* or a torch module, got 'mlp'"),
        (None, "decoder: expected a mapping"),
    ],
)
def test_errors_name_the_argument(spec, message):
    with pytest.raises(ValueError, match=message):
        build_network(spec, (2,), (4,), "decoder")
