"""The discriminator: the size of its score map, its layers, and running statistics that are left alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pyro_mixvae.nn import PatchGAN, build_network, statistics_untouched


@pytest.mark.parametrize(
    ("sides", "num_strided", "expected"),
    [
        ((256, 256), 3, (32, 32)),
        ((64, 64), 3, (8, 8)),
        ((32, 32), 2, (8, 8)),
        ((8, 8), 1, (4, 4)),
        ((8, 8), 3, (1, 1)),
        ((28, 20), 2, (7, 5)),
        ((28, 20), 3, (4, 3)),
        ((8, 16), 0, (8, 16)),
    ],
    ids=str,
)
def test_size_of_the_score_map(sides, num_strided, expected):
    with torch.device("meta"):
        network = PatchGAN((3, *sides), channels=8, num_strided=num_strided)
        assert network(torch.empty(2, 3, *sides)).shape == (2, *expected)
        assert network(torch.empty(5, 2, 3, *sides)).shape == (5, 2, *expected)


def test_the_paper_s_layers():
    network = build_network({"kind": "patchgan"}, (3, 256, 256), (), "discriminator")
    convolutions = [layer for layer in network.layers if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [128, 128, 128, 64, 64, 1]
    assert [layer.stride[0] for layer in convolutions] == [2, 2, 2, 1, 1, 1]
    assert {layer.kernel_size for layer in convolutions} == {(3, 3)}
    for kind, expected in {nn.BatchNorm2d: 5, nn.LeakyReLU: 5, nn.Dropout: 5}.items():
        assert sum(isinstance(layer, kind) for layer in network.layers) == expected
    assert {layer.p for layer in network.layers if isinstance(layer, nn.Dropout)} == {0.25}
    assert network.layers[-1] is convolutions[-1]


def test_a_score_sees_its_patch_only():
    """For the paper's strides 8 pixels apart, each a square of 47 pixels: a change outside it is not seen."""
    network, x = PatchGAN((1, 128, 128), channels=4).eval(), torch.rand(1, 1, 128, 128)
    changed = x.clone()
    changed[..., 0, 0] += 1
    difference = (network(changed) - network(x)).abs()[0]
    seen = difference > 0
    assert seen[0, 0]
    assert not seen[4:].any()
    assert not seen[:, 4:].any()


def test_statistics_untouched():
    """In training the batch's own statistics are used, and the running ones neither used nor moved."""
    network, x = PatchGAN((1, 8, 8), channels=4, dropout=0.0), torch.rand(6, 1, 8, 8)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with statistics_untouched(network):
        inside = network(x)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    torch.testing.assert_close(inside, network(x))
    assert any(not torch.equal(value, before[name]) for name, value in network.state_dict().items())
    network.eval()
    with statistics_untouched(network):
        evaluated = network(x)
    assert torch.equal(evaluated, network(x))
    assert not torch.allclose(evaluated, inside)


def test_statistics_are_kept_again_after_an_error():
    network = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2, track_running_stats=False))
    with pytest.raises(RuntimeError, match="stopped"), statistics_untouched(network):
        raise RuntimeError("stopped")
    assert [layer.track_running_stats for layer in network] == [True, False]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 1}, "channels: expected an integer >= 2, got 1"),
        ({"num_strided": -1}, "num_strided: expected an integer >= 0, got -1"),
        ({"dropout": 1.0}, r"dropout: expected a probability in \[0, 1\), got 1.0"),
        ({"slope": -0.1}, r"slope: expected a number in \[0, 1\), got -0.1"),
    ],
)
def test_refused(options, message):
    with pytest.raises(ValueError, match=f"discriminator: {message}"):
        build_network({"kind": "patchgan", **options}, (1, 8, 8), (), "discriminator")


@pytest.mark.parametrize(("in_shape", "out_shape"), [((4,), ()), ((1, 8, 8), (2,))])
def test_images_and_single_scores_only(in_shape, out_shape):
    with pytest.raises(ValueError, match="one score for each patch"):
        PatchGAN(in_shape, out_shape)
