"""The mixture-posterior VAE's part of a run's table and pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.image import AxesImage

from pyro_mixvae.data import DataSet, Split, load
from pyro_mixvae.models import MixturePosteriorVAE
from pyro_mixvae.training.evaluation import evaluate
from pyro_mixvae.training.posterior_views import posterior_figures, posterior_scores
from tests.models.mpvae_by_hand import small

MLP = {"kind": "mlp", "hidden_dims": [8]}


@pytest.fixture(scope="module")
def digits() -> DataSet:
    """40 digits from black, -1, to white, 1."""
    found = load("digits", value_range=(-1, 1))
    return DataSet("digits", found.train[:60], None, found.test[:40], 10, found.class_names, source="")


def test_scores_by_hand(digits: DataSet) -> None:
    vae, x = small().eval(), digits.test.values()
    scores = posterior_scores(vae, x)
    with torch.no_grad():
        scale = vae.encode(x).base_dist.scale
    assert scores["mean posterior sigma"] == pytest.approx(scale.mean().item())
    assert scores["smallest posterior sigma"] == pytest.approx(scale.min().item())
    assert scores["bimodal axes"] in range(4)

    def edges(images: torch.Tensor) -> float:
        down, right = images.diff(dim=2)[..., :-1], images.diff(dim=3)[..., :-1, :]
        return (down.square() + right.square()).sqrt().mean().item()

    assert scores["sharpness"] == pytest.approx(edges(vae.reconstruct(x)) / edges(x), rel=1e-5)


def test_in_the_report(digits: DataSet) -> None:
    vae = small().eval()
    found = evaluate(vae, digits, num_samples=2)
    assert {"mean posterior sigma", "sharpness", "bimodal axes"} <= set(found.results)
    assert {"posterior_spread", "codes", "variants", "transitions", "samples"} <= set(found.figures)


def test_white_is_the_data_s(digits: DataSet) -> None:
    """A reconstruction of 0 everywhere is grey, half-way between the data's black and white."""
    vae = small().eval()
    with torch.no_grad():
        vae.decoder.layers[-1].weight.zero_()
        vae.decoder.layers[-1].bias.zero_()
    drawn = evaluate(vae, digits, num_samples=2).figures
    for name in ("reconstructions", "samples", "variants", "transitions"):
        pictures = [child for axes in drawn[name].axes for child in axes.get_children() if type(child) is AxesImage]
        assert any(np.isclose(np.asarray(picture.get_array()), 0.5).mean() > 0.3 for picture in pictures), name


@pytest.mark.parametrize(("latent_dim", "expected"), [(1, {"posterior_spread"}), (2, {"posterior_spread", "codes"})])
def test_vectors_and_a_single_axis(latent_dim: int, expected: set[str]) -> None:
    vae, x = MixturePosteriorVAE((4,), latent_dim, MLP, MLP, adversarial=False).eval(), torch.rand(30, 4)
    data = DataSet("mine", Split(x), None, None, None, (), source="")
    assert set(posterior_figures(vae, data, x)) == expected
    assert "sharpness" not in posterior_scores(vae, x)
    assert "bimodal axes" not in posterior_scores(vae, x[:1])
