"""What table VI of the Cauchy-Schwarz paper needs: gates, residual blocks, Glorot's start."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from pyro_mixvae.models import SemiSupervisedCSRAE
from pyro_mixvae.nn import MLP, ConvDecoder, ConvEncoder, GatedLinear, ResidualBlock, build_network
from pyro_mixvae.nn.features import build_features
from pyro_mixvae.training.recipe import read_recipe

CIFAR_ENCODER = [[128, 4, 2, 1], [256, 4, 2, 1], [256, 3, 1, 1], "residual", "residual", [256, 1, 1, 0]]
CIFAR_DECODER = [[128, 3, 1, 1], "residual", "residual", [256, 4, 2, 1], [128, 4, 2, 1]]


def kinds(network: nn.Module) -> list[str]:
    """The layers in their order, as the table writes them."""
    return [
        f"{layer.out_channels}x{layer.kernel_size[0]}/{layer.stride[0]}"
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
        else type(layer).__name__
        for layer in network.modules()
        if not list(layer.children())
    ]


def test_gated_linear(float64) -> None:
    layer = GatedLinear(3, 2)
    x = torch.randn(5, 3)
    value = x @ layer.value.weight.T + layer.value.bias
    gate = 1 / (1 + torch.exp(-(x @ layer.gate.weight.T + layer.gate.bias)))
    torch.testing.assert_close(layer(x), value * gate)


def test_gated_mlp() -> None:
    network = MLP((4,), (2,), hidden_dims=[8, 8], gated=True)
    assert [type(layer).__name__ for layer in network.layers] == [
        "GatedLinear",
        "ReLU",
        "GatedLinear",
        "ReLU",
        "Linear",
    ]


def test_residual_block(float64) -> None:
    block = ResidualBlock(3)
    x = torch.randn(2, 3, 5, 5)
    _, first, _, second = block.layers
    torch.testing.assert_close(block(x), x + second(first(x.relu()).relu()))


def test_encoder_of_cifar10() -> None:
    network = ConvEncoder((3, 32, 32), (80,), CIFAR_ENCODER, hidden_dims=[], batch_norm=False)
    block = ["ReLU", "256x3/1", "ReLU", "256x1/1"]
    expected = ["128x4/2", "ReLU", "256x4/2", "ReLU", "256x3/1", *block, *block, "ReLU", "256x1/1", "ReLU"]
    assert kinds(network) == [*expected, "Flatten", "Linear"]
    assert network.layers[-1].in_features == 256 * 8 * 8
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 80)


def test_decoder_of_cifar10() -> None:
    network = ConvDecoder((40,), (1, 3, 32, 32), CIFAR_DECODER, hidden_dims=[], batch_norm=False)
    block = ["ReLU", "256x3/1", "ReLU", "256x1/1"]
    expected = ["128x8/1", "ReLU", "256x3/1", *block, *block, "ReLU", "128x4/2", "ReLU", "3x4/2"]
    assert kinds(network) == ["Flatten", "Unflatten", *expected]
    assert network(torch.randn(2, 40)).shape == (2, 1, 3, 32, 32)


def test_residual_blocks_with_batch_norm() -> None:
    network = ConvEncoder((1, 8, 8), (3,), [[4, 3, 1, 1], "residual"], hidden_dims=[])
    assert kinds(network)[:8] == [
        "4x3/1",
        "BatchNorm2d",
        "ReLU",
        "4x3/1",
        "BatchNorm2d",
        "ReLU",
        "4x1/1",
        "BatchNorm2d",
    ]


@pytest.mark.parametrize("layers", [[], ["residual", [4, 3, 1, 1]], [[4, 3, 1]], [[4, 3, 1, 1], "wat"]])
def test_bad_rows(layers) -> None:
    with pytest.raises(ValueError, match="layers: expected rows of channels, kernel, stride and padding"):
        ConvEncoder((1, 8, 8), (3,), layers)


def test_a_decoder_ends_with_a_convolution() -> None:
    with pytest.raises(ValueError, match="layers: the last must be a convolution"):
        ConvDecoder((4,), (1, 1, 8, 8), [[4, 3, 1, 1], "residual"])


def test_glorot() -> None:
    r"""Uniform within sqrt(6 / (n_in + n_out)), of which the variance is 2 / (n_in + n_out); biases 0."""
    network = build_network({"hidden_dims": [300], "init": "glorot", "gated": True}, (200,), (10,), "encoder")
    first = network.layers[0].value
    bound = math.sqrt(6 / 500)
    assert first.weight.abs().max() <= bound and first.weight.abs().max() > 0.99 * bound
    assert first.weight.std().item() == pytest.approx(math.sqrt(2 / 500), rel=0.02)
    assert all((parameter == 0).all() for name, parameter in network.named_parameters() if name.endswith("bias"))
    plain = build_network({"hidden_dims": [300]}, (200,), (10,), "encoder")
    assert plain.layers[0].bias.abs().max() > 0


def test_unknown_start() -> None:
    with pytest.raises(ValueError, match="encoder: init: expected 'torch' or 'glorot', got 'he'"):
        build_network({"init": "he"}, (4,), (2,), "encoder")


def test_encoder_of_the_face_sets() -> None:
    """The convolutions 512 x 4 x 4 over a 4 x 4 image are a linear layer from 1024 values."""
    layers = [[32, 7, 4, 2], [32, 7, 4, 2], [64, 4, 2, 1], [64, 4, 2, 2]]
    network = build_features({"kind": "conv", "layers": layers, "hidden_dims": []}, (3, 224, 224), 512, "encoder")
    after = ["BatchNorm2d", "ReLU"]
    expected = ["32x7/4", *after, "32x7/4", *after, "64x4/2", *after, "64x4/2", *after]
    assert kinds(network) == [*expected, "Flatten", "Linear", "BatchNorm1d", "ReLU"]
    assert network.network.layers[-1].in_features == 64 * 4 * 4
    assert network(torch.randn(2, 3, 224, 224)).shape == (2, 512)


def test_decoder_of_the_face_sets() -> None:
    layers = [[512, 4, 1, 0], [64, 4, 2, 1], [64, 4, 2, 2], [32, 6, 4, 1], [32, 6, 4, 1], [16, 1, 1, 0]]
    network = ConvDecoder((128 + 256,), (1, 3, 224, 224), layers, hidden_dims=[])
    after = ["BatchNorm2d", "ReLU"]
    rows = ["512x1/1", "64x4/1", "64x4/2", "32x4/2", "32x6/4", "16x6/4"]
    assert kinds(network) == ["Flatten", "Unflatten", *(kind for row in rows for kind in (row, *after)), "3x1/1"]
    assert network(torch.randn(2, 384)).shape == (2, 1, 3, 224, 224)


def test_networks_of_the_semi_supervised_model() -> None:
    """Table VI's rows for dynamic MNIST; the model's own start is these."""
    model = SemiSupervisedCSRAE((1, 28, 28), num_classes=10, latent_dim=40)
    widths = {
        name: [layer.out_features for layer in getattr(model, name).modules() if isinstance(layer, nn.Linear)]
        for name in ("encoder", "label_encoder", "classifier", "posterior", "decoder")
    }
    assert widths == {
        "encoder": [300, 300],
        "label_encoder": [256, 256],
        "classifier": [300, 10],
        "posterior": [300, 80],
        "decoder": [300, 300, 784],
    }
    assert [kind for kind in kinds(model.encoder) if kind == "ReLU"] == ["ReLU"] * 2


@pytest.mark.parametrize("name", ["ss-csrae-disfa", "ss-csrae-bp4d"])
def test_recipes_of_the_face_sets_build(name) -> None:
    sections = read_recipe(name).sections
    every = sections["model"] | sections["objective"]
    arguments = {key: value for key, value in every.items() if key not in ("class", "warmup")}
    with torch.device("meta"):
        model = SemiSupervisedCSRAE((3, 224, 224), **arguments)
    assert model.num_labels == {"ss-csrae-disfa": 8, "ss-csrae-bp4d": 5}[name]
