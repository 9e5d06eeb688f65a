"""Convolutional networks: the papers' tables, layer by layer, and sizes that do not fit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pyro_mixvae.nn import ConvDecoder, ConvEncoder, build_network
from pyro_mixvae.training.recipe import read_recipe

MNIST_ENCODER = [(16, 6, 1, 0), (32, 6, 1, 0), (64, 4, 2, 1)]
MNIST_DECODER = [(64, 4, 2, 1), (32, 6, 1, 0), (16, 6, 1, 0)]


def sides(network: nn.Module, x: torch.Tensor) -> list[tuple[int, ...]]:
    """The shape after each convolution."""
    found = []
    for layer in network.layers:
        x = layer(x)
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            found.append(tuple(x.shape[1:]))
    return found


def test_table_a1_for_mnist() -> None:
    network = ConvEncoder((1, 28, 28), (700,), MNIST_ENCODER)
    assert sides(network, torch.zeros(2, 1, 28, 28)) == [(16, 23, 23), (32, 18, 18), (64, 9, 9)]
    linear = [layer for layer in network.layers if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [(64 * 9 * 9, 500), (500, 700)]


def test_table_a3_for_mnist() -> None:
    network = ConvDecoder((200,), (1, 1, 28, 28), MNIST_DECODER)
    assert sides(network, torch.zeros(2, 200)) == [(64, 9, 9), (32, 18, 18), (16, 23, 23), (1, 28, 28)]


@pytest.mark.parametrize(("recipe", "shape"), [("gmvae-mnist", (1, 28, 28)), ("gmvae-svhn", (3, 32, 32))])
def test_networks_of_the_recipes_fit_their_images(recipe: str, shape: tuple[int, ...]) -> None:
    model = read_recipe(recipe).sections["model"]
    encoder = build_network(model["encoder"], shape, (700,), "encoder")
    decoder = build_network(model["decoder"], (200,), (1, *shape), "decoder")
    assert encoder(torch.rand(2, *shape)).shape == (2, 700)
    assert decoder(torch.randn(2, 200)).shape == (2, 1, *shape)


def test_svhn_mirrors_its_encoder() -> None:
    model = read_recipe("gmvae-svhn").sections["model"]
    encoder = build_network(model["encoder"], (3, 32, 32), (700,), "encoder")
    decoder = build_network(model["decoder"], (200,), (1, 3, 32, 32), "decoder")
    assert sides(encoder, torch.zeros(2, 3, 32, 32)) == [(64, 16, 16), (128, 8, 8), (256, 4, 4)]
    assert sides(decoder, torch.zeros(2, 200)) == [(256, 4, 4), (128, 8, 8), (64, 16, 16), (3, 32, 32)]


def test_batch_norm_and_relu_after_all_layers_but_the_last() -> None:
    for network in (ConvEncoder((1, 28, 28), (7,), MNIST_ENCODER), ConvDecoder((3,), (1, 1, 28, 28), MNIST_DECODER)):
        kinds = [type(layer) for layer in network.layers if not isinstance(layer, nn.Flatten | nn.Unflatten)]
        *body, last = kinds
        assert last in (nn.Linear, nn.ConvTranspose2d)
        assert len(body) % 3 == 0
        for weights, norm, activation in zip(body[::3], body[1::3], body[2::3], strict=True):
            assert weights in (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
            assert norm in (nn.BatchNorm1d, nn.BatchNorm2d)
            assert activation is nn.ReLU


def test_leading_dimensions_are_one_batch() -> None:
    encoder = ConvEncoder((1, 28, 28), (2, 3), MNIST_ENCODER).eval()
    decoder = ConvDecoder((4,), (2, 1, 28, 28), MNIST_DECODER).eval()
    x, z = torch.rand(5, 2, 1, 28, 28), torch.randn(5, 2, 4)
    assert encoder(x).shape == (5, 2, 2, 3)
    assert decoder(z).shape == (5, 2, 2, 1, 28, 28)
    torch.testing.assert_close(encoder(x)[3], encoder(x[3]))
    torch.testing.assert_close(decoder(z)[3], decoder(z[3]))


def test_images_need_not_be_square() -> None:
    layers = [(8, 4, 2, 1), (16, 4, 2, 1)]
    assert ConvEncoder((1, 28, 20), (6,), layers)(torch.rand(3, 1, 28, 20)).shape == (3, 6)
    assert ConvDecoder((6,), (1, 1, 28, 20), layers[::-1])(torch.rand(3, 6)).shape == (3, 1, 1, 28, 20)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: ConvEncoder((784,), (2,), MNIST_ENCODER), "needs images"),
        (lambda: ConvEncoder((1, 8, 8), (2,), MNIST_ENCODER), "8 x 8 are too small"),
        (lambda: ConvEncoder((1, 28, 28), (2,), [(16, 6)]), "layers: expected rows"),
        (lambda: ConvEncoder((1, 28, 28), (2,), []), "layers: expected rows"),
        (lambda: ConvDecoder((2,), (1, 1, 27, 27), [(8, 4, 2, 1)]), "cannot give a side of 27"),
        (lambda: ConvDecoder((2,), (1, 784), MNIST_DECODER), "needs images"),
        (lambda: ConvEncoder((1, 28, 28), (2,), MNIST_ENCODER, activation="relo"), "activation"),
    ],
)
def test_what_does_not_fit_is_refused(make, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()
