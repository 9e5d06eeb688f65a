"""Variants and transitions: every image at its place, words beside it."""

from __future__ import annotations

from io import BytesIO

import pytest
import torch

from pyro_mixvae.figures import latent_transitions, latent_variants


def tile(picture, row, column):
    """The grey level of the tile at a place of a montage of 8x8 images."""
    step = 56 + 4
    return picture[row * step + 28, column * step + 28, 0]


def test_variants_stand_at_their_deltas():
    levels = torch.arange(9.0).reshape(3, 3) / 10
    figure = latent_variants(
        levels[..., None, None, None].expand(3, 3, 1, 8, 8), deltas=(-20.0, 0.0, 20.0), axes=(4, 2)
    )
    figure.savefig(BytesIO())
    (axes,) = figure.axes
    picture = axes.images[0].get_array()
    for row in range(3):
        for column in range(3):
            assert tile(picture, row, column) == pytest.approx(levels[row, column].item())
    assert [label.get_text() for label in axes.get_yticklabels()] == ["\N{MINUS SIGN}20", "0", "+20"]
    assert axes.get_ylabel().startswith("axis 4")
    assert axes.get_xlabel().startswith("axis 2")


def test_variants_of_several_data_side_by_side():
    figure = latent_variants(torch.rand(2, 3, 3, 3, 8, 8), title="two faces")
    figure.savefig(BytesIO())
    assert len(figure.axes) == 2


def test_transitions_of_models_stand_together_pair_by_pair():
    images = {name: torch.full((2, 6, 1, 8, 8), level) for name, level in {"ours": 0.2, "standard": 0.8}.items()}
    figure = latent_transitions(images)
    figure.savefig(BytesIO())
    assert len(figure.axes) == 2
    for axes in figure.axes:
        picture = axes.images[0].get_array()
        assert (tile(picture, 0, 0), tile(picture, 1, 5)) == (pytest.approx(0.2), pytest.approx(0.8))
        assert [label.get_text() for label in axes.get_yticklabels()] == ["ours", "standard"]


def test_transitions_of_one_model():
    figure = latent_transitions(torch.rand(3, 6, 3, 8, 12), ["a", "b", "c"], value_range=(-1, 1))
    figure.savefig(BytesIO())
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: latent_variants(torch.rand(3, 2, 1, 8, 8)), "images: got shape"),
        (lambda: latent_variants(torch.rand(3, 3, 1, 8, 8), axes=(1,)), "images: got shape"),
        (lambda: latent_variants(torch.rand(3, 3, 1, 8, 8), deltas=(0, 1)), "for 2 deltas"),
        (lambda: latent_transitions(torch.rand(6, 1, 8, 8)), "images: got shapes"),
        (lambda: latent_transitions({}), "images: got no models"),
        (
            lambda: latent_transitions({"a": torch.rand(1, 6, 1, 8, 8), "b": torch.rand(1, 5, 1, 8, 8)}),
            "the same for all",
        ),
        (lambda: latent_transitions({"a": torch.rand(1, 6, 1, 8, 8)}, ["x"]), "row_labels: the rows of several models"),
    ],
)
def test_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
