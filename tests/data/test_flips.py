"""Random mirror images: each datum or its mirror image, half of them, with private randomness."""

from __future__ import annotations

import math

import pytest
import torch

from pyro_mixvae.data import Batches, DataSet, Split, flipped, horizontal_flips, load
from pyro_mixvae.data.binarize import bernoulli_draw
from pyro_mixvae.data.seeds import generator


def test_each_image_or_its_mirror_image_half_of_them():
    """4,000 draws; fail beyond 4.5 standard errors."""
    x = torch.rand(4000, 2, 3, 5)
    drawn = horizontal_flips(x, generator(0))
    mirrored = (drawn == x.flip(-1)).flatten(1).all(1)
    assert ((drawn == x).flatten(1).all(1) ^ mirrored).all()
    assert abs(mirrored.float().mean() - 0.5) < 4.5 * 0.5 / math.sqrt(4000)


def test_batches_repeat_by_seed_and_epoch_and_leave_the_global_stream_alone():
    data = load("digits", flips=True)
    state = torch.get_rng_state()

    def epoch(number, seed=0):
        batches = Batches(data.train, 400, seed=seed, transform=data.transform, shuffle=False)
        batches.set_epoch(number)
        return torch.cat([batch[0] for batch in batches])

    assert torch.equal(epoch(0), epoch(0))
    assert not torch.equal(epoch(0), epoch(1))
    assert not torch.equal(epoch(0), epoch(0, seed=1))
    assert torch.equal(torch.get_rng_state(), state)


def test_validation_and_test_data_stay_as_they_are():
    plain, flips = load("digits"), load("digits", flips=True)
    assert torch.equal(plain.test.x, flips.test.x)
    assert plain.transform is None
    assert load("digits", flips=False).transform is None


def test_flipped_and_then_drawn():
    """Dynamic binarisation of the mirror image: ones only where the mirror image or the image has ink."""
    data = load("digits", binarize="dynamic", flips=True)
    ((x, _),) = list(Batches(data.train, len(data.train), transform=data.transform, shuffle=False))
    assert set(x.unique().tolist()) == {0.0, 1.0}
    possible = (data.train.x > 0) | (data.train.x.flip(-1) > 0)
    assert not x[~possible].any()
    assert data.transform.second is bernoulli_draw


def test_refused():
    vectors = DataSet("vectors", Split(torch.rand(3, 4)), None, None, None, (), "made up")
    with pytest.raises(ValueError, match=r"flips: vectors holds data of shape \(4,\)"):
        flipped(vectors)
