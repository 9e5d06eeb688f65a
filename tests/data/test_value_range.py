"""Other ranges than [0, 1]: the same pictures, brought there at once or batch by batch."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from pyro_mixvae.data import Batches, DataSet, Split, as_float, load, ranged


@pytest.fixture
def bytes_():
    x = torch.arange(256, dtype=torch.uint8).reshape(4, 1, 8, 8)
    return DataSet("bytes", Split(x), None, Split(x), None, (), "made up")


def test_bytes_stay_bytes_until_the_batch(bytes_):
    moved = ranged(bytes_, (-1, 1))
    assert moved.train.x.dtype == torch.uint8
    assert moved.value_range == (-1, 1)
    expected = torch.linspace(-1, 1, 256).reshape(4, 1, 8, 8)
    torch.testing.assert_close(moved.train.values(), expected)
    torch.testing.assert_close(moved.test.values(), expected)
    batches = Batches(moved.train, 3, shuffle=False)
    torch.testing.assert_close(torch.cat([x for (x,) in batches]), expected)
    assert as_float(bytes_.train.x, torch.float64, (-1, 1)).dtype == torch.float64


def test_floating_point_data_are_moved_at_once():
    digits = load("digits", value_range=[-0.5, 0.5])
    torch.testing.assert_close(digits.train.x, load("digits").train.x - 0.5)
    assert torch.equal(digits.train.values(), digits.train.x)
    assert torch.equal(digits.train.y, load("digits").train.y)


@pytest.mark.parametrize("first", [(-1, 1), (2, 6)])
def test_there_and_back(first, bytes_):
    for data in (load("digits"), bytes_):
        back = ranged(ranged(data, first), (0, 1))
        torch.testing.assert_close(back.train.values(), data.train.values())
        assert back.value_range == (0, 1)
    assert ranged(bytes_, (0, 1)) is bytes_


def test_rows_keep_their_range_and_labels():
    digits = load("digits", value_range=(-1, 1))
    part = digits.train[5:9]
    assert (len(part), part.value_range) == (4, (-1, 1))
    assert torch.equal(part.y, digits.train.y[5:9])


@pytest.mark.parametrize("value_range", [(1, 0), (0, 0), (0, math.inf), (0,), (math.nan, 1)])
def test_no_range(value_range, bytes_):
    with pytest.raises(ValueError, match="value_range: got"):
        ranged(bytes_, value_range)


def test_refused(bytes_):
    with pytest.raises(ValueError, match=r"value_range: got .* with binarize 'static'"):
        load("digits", binarize="static", value_range=(-1, 1))
    with pytest.raises(ValueError, match="value_range: digits has a transform"):
        ranged(load("digits", flips=True), (-1, 1))
    with pytest.raises(ValueError, match=r"test: values in \(0.0, 1.0\), but in \(-1.0, 1.0\) in train"):
        dataclasses.replace(bytes_, train=ranged(bytes_, (-1, 1)).train)
