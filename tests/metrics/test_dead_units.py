"""Shares of units that never fire, against ones that were switched off by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pyro_mixvae.metrics import dead_units
from pyro_mixvae.models import MVAE, VAE

IMAGES = torch.rand(30, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def switch_off(layer, units):
    with torch.no_grad():
        layer.bias[units] = -100.0


def test_units_of_a_vae_by_layer():
    network = {"kind": "mlp", "hidden_dims": [20, 10]}
    model = VAE((1, 8, 8), 2, encoder=network, decoder=network).eval()
    with torch.no_grad():
        model.encoder.layers[2].bias[:] = 100.0
    switch_off(model.encoder.layers[2], slice(0, 3))
    before = [p.clone() for p in model.parameters()]
    shares = dead_units(model, model.reconstruct, IMAGES, batch_size=7)
    assert shares["encoder.layers.3"] == pytest.approx(0.3)
    assert set(shares) == {"encoder.layers.1", "encoder.layers.3", "decoder.layers.1", "decoder.layers.3"}
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
    assert not any(module._forward_hooks for module in model.modules())


def test_a_unit_that_fires_for_one_datum_is_alive():
    network = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    network[0].weight.data.fill_(1.0)
    network[0].bias.data.fill_(-10.0)
    x = torch.zeros(9, 1)
    assert dead_units(network, network, x, batch_size=2) == {"1": 1.0}
    x[4] = 11.0
    assert dead_units(network, network, x, batch_size=2) == {"1": 0.0}


def test_a_channel_is_one_unit_and_each_network_of_an_ensemble_has_its_own():
    convolution = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
    switch_off(convolution[0], slice(0, 1))
    convolution[0].bias.data[1:] = 100.0
    assert dead_units(convolution, convolution, IMAGES) == {"1": 0.25}

    network = {"kind": "mlp", "hidden_dims": [10]}
    model = MVAE((1, 8, 8), 2, 2, encoder=network, mixed_shape=(10,), decoder=network).eval()
    with torch.no_grad():
        model.encoder.layers[0].bias[0] = -100.0
        model.encoder.layers[0].bias[1] = 100.0
    assert dead_units(model, model.reconstruct, IMAGES)["encoder.layers.1"] == 0.5


def test_other_activations_have_none_and_no_data_are_refused():
    network = nn.Sequential(nn.Linear(1, 1), nn.GELU())
    assert dead_units(network, network, torch.zeros(3, 1)) == {}
    with pytest.raises(ValueError, match="x: got no data"):
        dead_units(network, network, torch.zeros(0, 1))


def test_hooks_are_taken_away_after_an_error():
    network = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    with pytest.raises(RuntimeError):
        dead_units(network, network, torch.zeros(3, 2))
    assert not network[1]._forward_hooks
