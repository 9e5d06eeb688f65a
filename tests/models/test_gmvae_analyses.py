"""The GMVAE paper's figure 5: samples of every component at w = 0, and one component with w varied."""

from __future__ import annotations

import pytest
import torch

from pyro_mixvae.models import GMVAE


@pytest.fixture
def model() -> GMVAE:
    network = {"kind": "mlp", "hidden_dims": [16]}
    return GMVAE((1, 4, 4), latent_dim=3, num_components=5, style_dim=2, encoder=network, decoder=network)


def test_a_row_of_samples_for_each_component(model: GMVAE) -> None:
    samples = model.component_samples(7)
    assert samples.shape == (5, 7, 1, 4, 4)
    assert not torch.equal(samples[0, 0], samples[0, 1])


def test_rows_are_drawn_at_the_style_asked_for(model: GMVAE) -> None:
    """With scales near 0, samples are the decoded means of the components at w = 0."""
    with torch.no_grad():
        final = model.prior_network.layers[-1]
        final.bias.view(2, 5, 3)[1] = -30.0
        final.weight.view(2, 5, 3, -1)[1] = 0.0
    means = model.components(torch.zeros(2)).locs
    expected = model.decode(means).mean
    torch.testing.assert_close(model.component_samples(1)[:, 0], expected, atol=1e-3, rtol=0)
    w = torch.tensor([1.5, -0.5])
    expected = model.decode(model.components(w).locs).mean
    torch.testing.assert_close(model.component_samples(1, w)[:, 0], expected, atol=1e-3, rtol=0)


def test_a_path_through_style_decodes_the_components_mean(model: GMVAE) -> None:
    path = torch.linspace(-2, 2, 6).unsqueeze(-1).expand(4, 6, 2)
    images = model.vary_style(3, path)
    assert images.shape == (4, 6, 1, 4, 4)
    w = path[1, 4]
    torch.testing.assert_close(images[1, 4], model.decode(model.components(w).locs[3]).mean)


@pytest.mark.parametrize("component", [-1, 5])
def test_a_component_that_there_is_not(model: GMVAE, component: int) -> None:
    with pytest.raises(ValueError, match=r"component: expected 0\.\.4"):
        model.vary_style(component, torch.zeros(2))


def test_looking_leaves_training_mode_and_gradients_alone(model: GMVAE) -> None:
    model.train()
    assert not model.component_samples(2).requires_grad
    assert not model.vary_style(0, torch.zeros(2)).requires_grad
    assert model.training and model.decoder.training
