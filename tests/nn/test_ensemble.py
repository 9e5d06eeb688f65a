"""K networks that run as one against K networks that run one by one."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pyro_mixvae.nn.ensemble import EnsembleConv, EnsembleMLP, ParallelLinear, SharedInputLinear
from pyro_mixvae.nn.mixing import SubDecoders, build_ensemble
from pyro_mixvae.nn.upsample import UpsamplingDecoder


def test_linear_layers_against_torchs_own(float64):
    shared, own = SharedInputLinear(3, 5, 4), ParallelLinear(3, 5, 4)
    x, xs = torch.randn(7, 5), torch.randn(7, 3, 5)
    for k in range(3):
        torch.testing.assert_close(shared(x)[:, k], F.linear(x, shared.weight[k], shared.bias[k]))
        torch.testing.assert_close(own(xs)[:, k], F.linear(xs[:, k], own.weight[k].T, own.bias[k]))


@pytest.mark.parametrize("num_labels", [0, 3])
def test_mlps_against_a_loop(num_labels, float64):
    ensemble = EnsembleMLP((2, 3), (2, 2), 4, num_labels, hidden_dims=[8, 7], activation="tanh")
    x = torch.randn(5, 2, 3)
    label = torch.eye(3)[torch.arange(5) % 3] if num_labels else None
    joined = x.flatten(1) if label is None else torch.cat([x.flatten(1), label], 1)
    found = ensemble(x, label)
    assert found.shape == (5, 4, 2, 2)
    for k in range(4):
        h = torch.tanh(F.linear(joined, ensemble.layers[0].weight[k], ensemble.layers[0].bias[k]))
        for layer in (ensemble.layers[2], ensemble.layers[4]):
            h = h @ layer.weight[k] + layer.bias[k]
            h = torch.tanh(h) if layer is ensemble.layers[2] else h
        torch.testing.assert_close(found[:, k].flatten(1), h)


@pytest.mark.parametrize("num_labels", [0, 3])
def test_convolutions_grouped_and_one_by_one_are_the_same(num_labels, float64):
    ensemble = EnsembleConv((2, 8, 12), (5,), 3, num_labels, layers=[(4, 2), (6, 1), (3, 2)])
    x = torch.randn(4, 2, 8, 12)
    label = torch.eye(3)[torch.tensor([0, 2, 1, 0])] if num_labels else None
    found = ensemble(x, label)
    assert found.shape == (4, 3, 5)
    if label is not None:
        x = torch.cat([x, label[:, :, None, None].expand(-1, -1, 8, 12)], 1)
    features = ensemble.grouped(x)
    torch.testing.assert_close(features, ensemble.one_by_one(x))
    for k in range(3):
        h = x
        for weight, bias, stride in zip(ensemble.weights, ensemble.biases, (2, 1, 2), strict=True):
            h = F.relu(F.conv2d(h, weight[k], bias[k], stride, 1))
        head = ensemble.head
        torch.testing.assert_close(features[:, k], h.flatten(1))
        torch.testing.assert_close(found[:, k], h.flatten(1) @ head.weight[k] + head.bias[k])


def test_both_ways_have_the_same_gradients(float64):
    ensemble, x = EnsembleConv((1, 8, 8), (2,), 3, layers=[(4, 2), (3, 2)]), torch.randn(4, 1, 8, 8)
    found = [
        torch.autograd.grad(way(x).square().sum(), list(ensemble.weights))
        for way in (ensemble.grouped, ensemble.one_by_one)
    ]
    for first, second in zip(*found, strict=True):
        torch.testing.assert_close(first, second)


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_selected_networks_answer_as_before(kind):
    spec = {"kind": "mlp", "hidden_dims": [6]} if kind == "mlp" else {"kind": "conv", "layers": [(4, 2)]}
    ensemble = build_ensemble(spec, (1, 4, 4), (3,), "encoder", num_networks=4)
    x = torch.randn(5, 1, 4, 4)
    some = ensemble.select([3, 1])
    torch.testing.assert_close(some(x), ensemble(x)[:, [3, 1]])
    assert all(len(parameter) == 2 for parameter in some.parameters())
    assert not {p.data_ptr() for p in some.parameters()} & {p.data_ptr() for p in ensemble.parameters()}


def test_sub_decoders_mix_by_their_weights(float64):
    sub = SubDecoders(3, 4, (2, 5), "relu")
    z, weights = torch.randn(6, 7, 3, 4), torch.rand(6, 7, 3)
    expected = sum(
        weights[..., k, None] * torch.relu(z[..., k, :] @ sub.layer.weight[k] + sub.layer.bias[k]) for k in range(3)
    )
    torch.testing.assert_close(sub(z, weights).flatten(-2), expected)
    torch.testing.assert_close(sub(z, torch.eye(3)[1])[2], sub(z[2], torch.eye(3)[1]))


def test_they_start_as_torchs_own_layers_do():
    torch.manual_seed(0)
    weight = EnsembleConv((4, 8, 8), (2,), 50, layers=[(30, 2)]).weights[0]
    own = nn.Conv2d(4, 1500, 3).weight
    assert weight.abs().max() <= own.abs().max() * 1.01
    assert weight.std().item() == pytest.approx(own.std().item(), rel=0.02)


def test_upsampling_of_celeba():
    """The paper's mix-decoder: seven transposed convolutions from 8 x 8 x 256 to 64 x 64."""
    layers = [(8, 2), (8, 1), (8, 2), (4, 1), (4, 2), (4, 1)]
    network = UpsamplingDecoder((256, 8, 8), (1, 3, 64, 64), layers)
    assert network(torch.zeros(2, 5, 256, 8, 8)).shape == (2, 5, 1, 3, 64, 64)
    assert sum(isinstance(layer, nn.ConvTranspose2d) for layer in network.layers) == 7
    assert any(
        isinstance(layer, nn.BatchNorm2d)
        for layer in UpsamplingDecoder((2, 4, 4), (1, 1, 8, 8), [(2, 2)], batch_norm=True).layers
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: EnsembleConv((1, 28, 28), (2,), 2, layers=[(4, 2)] * 3),
            r"layers: .* multiples of 8, such as 24 x 24|32 x 32",
        ),
        (lambda: EnsembleConv((1, 30, 28), (2,), 2, layers=[(4, 2)] * 2), "such as 32 x 28, got images of 30 x 28"),
        (lambda: EnsembleConv((7,), (2,), 2), "needs images"),
        (lambda: EnsembleConv((1, 8, 8), (2,), 2, layers=[]), "layers: expected rows of channels and stride"),
        (lambda: EnsembleMLP((7,), (2,), 2, hidden_dims=[0]), "hidden_dims: expected widths >= 1"),
        (lambda: EnsembleMLP((7,), (2,), 0), "num_networks: expected an integer >= 1, got 0"),
        (lambda: UpsamplingDecoder((4, 7, 7), (1, 1, 32, 32), [(4, 2), (4, 2)]), "8 x 8 features would lead there"),
        (lambda: UpsamplingDecoder((4, 7, 7), (1, 1, 30, 30), [(4, 4)]), "no whole number of features"),
        (lambda: build_ensemble({"kind": "resnet"}, (7,), (2,), "encoder", 2), "encoder: unknown kind of network"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
