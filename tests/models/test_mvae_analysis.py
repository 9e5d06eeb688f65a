"""The analyses of the MVAE paper: what they compute, and how they hang together."""

from __future__ import annotations

import pytest
import torch

from pyro_mixvae.divergences import dhsic
from pyro_mixvae.models.mvae_analysis import (
    component_reconstructions,
    component_samples,
    crossed_reconstructions,
    interpolate,
    latent_codes,
    off_diagonal_mean,
    pairwise_dhsic,
    shared_noise,
    traverse,
)
from tests.models.mvae_by_hand import tiny_data, tiny_mvae


@pytest.fixture
def model():
    return tiny_mvae(dropout="gaussian").train()


def test_a_components_own_view_is_its_code_alone(model):
    x = tiny_data()
    views, codes = component_reconstructions(model, x), latent_codes(model, x)
    assert views.shape == (3, 8, 2, 3) and codes.shape == (8, 3, 2)
    layer = model.sub_decoder.layer
    for k in range(3):
        s = torch.tanh(codes[:, k] @ layer.weight[k] + layer.bias[k])
        torch.testing.assert_close(views[k], model.decoder(s).squeeze(1).detach())
    assert model.training  # looking leaves the model as it was


def test_mismatched_encoders_and_sub_decoders(model):
    x = tiny_data()
    crossed, codes = crossed_reconstructions(model, x), latent_codes(model, x)
    assert crossed.shape == (3, 3, 8, 2, 3)
    torch.testing.assert_close(torch.stack([crossed[k, k] for k in range(3)]), component_reconstructions(model, x))
    layer = model.sub_decoder.layer
    s = torch.tanh(codes[:, 0] @ layer.weight[2] + layer.bias[2])
    torch.testing.assert_close(crossed[0, 2], model.decoder(s).squeeze(1).detach())


def test_interpolation_goes_from_one_reconstruction_to_the_other(model):
    first, second = tiny_data(4), tiny_data(4)
    path = interpolate(model, first, second, num_steps=5)
    assert path.shape == (5, 4, 2, 3)
    torch.testing.assert_close(path[0], model.reconstruct(first))
    torch.testing.assert_close(path[-1], model.reconstruct(second))
    q = [model.eval().encode(x) for x in (first, second)]
    z, w = (sum(part[site].mean for part in q) / 2 for site in ("z", "w"))
    torch.testing.assert_close(path[2], model.decode(z, w).mean)


def test_interpolation_across_components_takes_the_next_code(model):
    first, second = tiny_data(4), tiny_data(4)
    path = interpolate(model, first, second, num_steps=2, shift=1)
    q = model.eval().encode(first)
    torch.testing.assert_close(path[0], model.decode(q["z"].mean[:, [1, 2, 0]], q["w"].mean).mean)


def test_pairwise_dhsic_is_dhsic_of_pairs(model):
    x = tiny_data(30)
    codes, matrix = latent_codes(model, x), pairwise_dhsic(model, x)
    torch.testing.assert_close(matrix, matrix.T)
    torch.testing.assert_close(matrix[0, 2], dhsic([codes[:, 0], codes[:, 2]]))
    torch.testing.assert_close(matrix[1, 1], dhsic([codes[:, 1], codes[:, 1]]))
    assert off_diagonal_mean(matrix) == pytest.approx((matrix[0, 1] + matrix[0, 2] + matrix[1, 2]).item() / 3)
    assert not torch.equal(pairwise_dhsic(model, x, draw=True), matrix)


def test_one_noise_vector_through_every_sub_decoder(model):
    noise = torch.randn(4, 2, dtype=torch.float64)
    images = shared_noise(model, noise)
    assert images.shape == (3, 4, 2, 3)
    every = model.decode(noise.unsqueeze(1).expand(4, 3, 2), model.only(1)).mean
    torch.testing.assert_close(images[1], every.detach())


def test_traversal_of_one_entry():
    model = tiny_mvae(num_classes=4)
    values = torch.linspace(0, 3, 5, dtype=torch.float64)
    images = traverse(model, values, dim=1, y=torch.tensor(2))
    assert images.shape == (3, 5, 2, 3)
    z = torch.zeros(1, 3, 2, dtype=torch.float64)
    z[..., 1] = values[3]
    torch.testing.assert_close(images[0, 3], model.decode(z, model.only(0), torch.tensor([2])).mean[0].detach())


def test_component_samples(model):
    assert component_samples(model, 5).shape == (3, 5, 2, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x: interpolate(m, x, x, num_steps=1), "num_steps: expected an integer >= 2, got 1"),
        (lambda m, x: interpolate(m, x, x, shift=3), "shift: expected 0..2, got 3"),
        (lambda m, x: traverse(m, torch.zeros(3), dim=2), "dim: expected 0..1, got 2"),
    ],
)
def test_bad_input_is_named(model, call, message):
    with pytest.raises(ValueError, match=message):
        call(model, tiny_data())
