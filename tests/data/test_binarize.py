"""Binarisation: the right frequencies, fixed where it should be fixed, fresh where it should be fresh."""

from __future__ import annotations

import pytest
import torch

from pyro_mixvae.data import Batches, DataSet, Split, bernoulli_draw, binarized, load


def test_frequencies_are_the_grey_values():
    grey = torch.linspace(0, 1, 11)
    draws = bernoulli_draw(grey.expand(20_000, 11), torch.Generator().manual_seed(0))
    error = (grey * (1 - grey) / 20_000).sqrt()
    assert ((draws.mean(0) - grey).abs() <= 4.5 * error).all()  # 11 tests at 4.5 errors: 1 in 13,000


def test_static_is_one_draw_and_depends_on_the_seed_alone():
    once, again, other = (load("digits", binarize="static", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(once.train.x, again.train.x)
    assert torch.equal(once.test.x, again.test.x)
    assert not torch.equal(once.train.x, other.train.x)
    assert once.train.x.dtype == torch.uint8
    assert once.train.values().unique().tolist() == [0.0, 1.0]
    assert once.transform is None
    assert torch.equal(once.train.y, load("digits").train.y)


def test_parts_have_independent_noise():
    grey = torch.full((100, 8), 0.5)
    data = binarized(DataSet("grey", Split(grey), Split(grey), Split(grey), None, (), ""), "static", seed=0)
    assert not torch.equal(data.train.x, data.test.x)
    assert not torch.equal(data.validation.x, data.test.x)


def test_dynamic_draws_training_data_afresh_and_keeps_the_rest():
    grey, data = load("digits"), load("digits", binarize="dynamic", seed=4)
    assert torch.equal(data.train.x, grey.train.x)
    assert torch.equal(data.test.x, load("digits", binarize="static", seed=4).test.x)
    batches = Batches(data.train, 1437, shuffle=False, transform=data.transform)
    draws = []
    for epoch in range(30):
        batches.set_epoch(epoch)
        draws.extend(x for x, _ in batches)
    mean = torch.stack(draws).mean(0)
    assert torch.stack(draws).unique().tolist() == [0.0, 1.0]
    assert (mean - grey.train.x).abs().mean() < 0.06
    assert not torch.equal(draws[0], draws[1])


def test_wrong_words_and_values_are_refused():
    with pytest.raises(ValueError, match="binarize: got 'sometimes'; allowed are 'none', 'static', 'dynamic'"):
        load("digits", binarize="sometimes")
    with pytest.raises(ValueError, match=r"arcs, train \(to be binarized\): .* outside \[0, 1\]"):
        load("arcs", binarize="static")
