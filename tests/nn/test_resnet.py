"""Residual networks with activations before convolutions: shapes of all sizes, blocks by hand, the paper's sizes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pyro_mixvae.nn import ResNetDecoder, ResNetEncoder, build_network
from pyro_mixvae.nn.resnet import IdentityBlock, StridedBlock, TransposedBlock, halvings


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ((8, 8), (1, (4, 4))),
        ((16, 16), (2, (4, 4))),
        ((32, 32), (3, (4, 4))),
        ((64, 64), (4, (4, 4))),
        ((128, 128), (5, (4, 4))),
        ((256, 256), (6, (4, 4))),
        ((28, 20), (2, (7, 5))),
        ((12, 12), (1, (6, 6))),
        ((8, 256), (1, (4, 128))),
        ((28, 28), (2, (7, 7))),
    ],
    ids=str,
)
def test_depth_follows_the_image_size(sides, expected):
    assert halvings((3, *sides)) == expected
    with torch.device("meta"):
        encoder, decoder = ResNetEncoder((3, *sides), (4,), 8), ResNetDecoder((4,), (1, 3, *sides), 8)
    for network, block in ((encoder, StridedBlock), (decoder, TransposedBlock)):
        assert sum(isinstance(layer, block) for layer in network.layers) == expected[0]
        assert sum(isinstance(layer, IdentityBlock) for layer in network.layers) == 2 * expected[0]


@settings(deadline=None, max_examples=20)
@given(
    height=st.integers(2, 9).map(lambda n: 4 * n),
    width=st.integers(2, 9).map(lambda n: 4 * n),
    channels=st.integers(2, 5),
    num_identity=st.integers(0, 2),
    leading=st.sampled_from([(3,), (2, 3), (2, 1, 2)]),
)
def test_any_sides_divisible_by_four(height, width, channels, num_identity, leading):
    x = torch.randn(*leading, 2, height, width)
    code = ResNetEncoder((2, height, width), (3, 2), channels, num_identity)(x)
    assert code.shape == (*leading, 3, 2)
    decoder = ResNetDecoder((3, 2), (2, 2, height, width), channels, num_identity)
    assert decoder(code).shape == (*leading, 2, 2, height, width)


def test_the_paper_s_networks():
    """256x256: 4x4 with 64 channels, then 512 + 512; six stages of three blocks; the mirror back."""
    with torch.device("meta"):
        encoder = build_network({"kind": "resnet-encoder"}, (3, 256, 256), (1024,), "encoder")
        decoder = build_network({"kind": "resnet-decoder"}, (512,), (1, 3, 256, 256), "decoder")
    stages = [type(layer).__name__.removesuffix("Block") for layer in encoder.layers if "Block" in type(layer).__name__]
    assert stages == ["Identity", "Identity", "Strided"] * 6
    stages = [type(layer).__name__.removesuffix("Block") for layer in decoder.layers if "Block" in type(layer).__name__]
    assert stages == ["Transposed", "Identity", "Identity"] * 6
    narrow, _, last = encoder.layers[-3:]
    assert (narrow.in_channels, narrow.out_channels, narrow.kernel_size) == (128, 64, (1, 1))
    assert (last.in_features, last.out_features) == (4 * 4 * 64, 1024)
    first, _, wide = decoder.layers[:3]
    assert (first.in_features, first.out_features) == (512, 4 * 4 * 64)
    assert (wide.in_channels, wide.out_channels, wide.kernel_size) == (64, 128, (1, 1))
    assert isinstance(decoder.layers[-1], nn.Conv2d)
    assert encoder(torch.empty(2, 3, 256, 256, device="meta")).shape == (2, 1024)
    assert decoder(torch.empty(2, 512, device="meta")).shape == (2, 1, 3, 256, 256)


@pytest.mark.parametrize(("block", "factor"), [(IdentityBlock, 1), (StridedBlock, 0.5), (TransposedBlock, 2)])
def test_blocks_by_hand(block, factor):
    """Shortcut plus convolution, norm, ReLU, convolution of what norm and ReLU make of the input."""
    layer, x = block(3).eval(), torch.randn(2, 3, 8, 12)
    norms = [part for part in layer.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms:
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)

    def normed(value, norm):
        shape = (1, 3, 1, 1)
        unit = (value - norm.running_mean.view(shape)) / (norm.running_var.view(shape) + norm.eps).sqrt()
        return unit * norm.weight.view(shape) + norm.bias.view(shape)

    active = normed(x, norms[0]).clamp(min=0)
    first, second = layer.convolutions[0], layer.convolutions[3]
    inner = second(normed(first(active), norms[1]).clamp(min=0))
    expected = inner + (x if layer.shortcut is None else layer.shortcut(active))
    assert layer(x).shape == (2, 3, round(8 * factor), round(12 * factor))
    torch.testing.assert_close(layer(x), expected)


def test_an_identity_block_can_be_the_identity():
    """With its last convolution at 0: the shortcut is the input itself, untouched by norm or activation."""
    layer, x = IdentityBlock(3), torch.randn(2, 3, 8, 8)
    nn.init.zeros_(layer.convolutions[-1].weight)
    assert torch.equal(layer(x), x)


@pytest.mark.parametrize(
    ("in_shape", "options", "message"),
    [
        ((4,), {}, r"needs images \(C, H, W\), got data of shape \(4,\)"),
        ((1, 4, 8), {}, "needs sides >= 8 that are divisible by 4, got 4 x 8"),
        ((1, 30, 32), {}, "needs sides >= 8 that are divisible by 4, got 30 x 32"),
        ((1, 8, 8), {"channels": 1}, "channels: expected an integer >= 2, got 1"),
        ((1, 8, 8), {"num_identity": -1}, "num_identity: expected an integer >= 0, got -1"),
        ((1, 8, 8), {"width": 3}, "width"),
    ],
)
def test_refused(in_shape, options, message):
    with pytest.raises(ValueError, match=f"encoder: .*{message}"):
        build_network({"kind": "resnet-encoder", **options}, in_shape, (2,), "encoder")
    with pytest.raises(ValueError, match=f"decoder: .*{message}"):
        build_network({"kind": "resnet-decoder", **options}, (2,), (1, *in_shape), "decoder")
