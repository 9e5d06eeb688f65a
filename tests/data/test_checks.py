"""Checks: good data pass, bad data are refused with the place of the first bad value."""

from __future__ import annotations

import pytest
import torch

from pyro_mixvae.data import DataSet, Split, check_data, check_labels, checks


@pytest.mark.parametrize(
    "x", [torch.rand(3, 2), torch.rand(3, 1, 2, 2).double(), torch.randint(256, (3, 4), dtype=torch.uint8)]
)
def test_good_data_pass(x):
    check_data(x, event_shape=x.shape[1:], low=0, high=1)


@pytest.mark.parametrize(
    ("x", "limits", "words"),
    [
        ([1.0], {}, "pixels: expected a tensor, got list"),
        (torch.zeros(2, 2, dtype=torch.int64), {}, "pixels: dtype is torch.int64"),
        (torch.zeros(0, 2), {}, r"pixels: holds no data \(its shape is \(0, 2\)\)"),
        (torch.tensor(1.0), {}, "pixels: holds no data"),
        (torch.zeros(2, 3), {"event_shape": (4,)}, r"one datum has shape \(3,\), expected \(4,\)"),
        (torch.tensor([[0.0, torch.nan]]), {}, r"1 of 2 values not finite, the first at index \(0, 1\): nan"),
        (torch.tensor([[0.0], [torch.inf]]), {"high": 1}, r"1 of 2 values not finite, .* \(1, 0\): inf"),
        (torch.tensor([[0.5, -0.1]]), {"low": 0}, r"1 of 2 values outside \[0, inf\], .*\(0, 1\): -0.1"),
        (torch.tensor([[200]], dtype=torch.uint8), {"high": 0.5}, r"1 of 1 values outside \[-inf, 0.5\]"),
    ],
)
def test_bad_data_are_named(x, limits, words):
    with pytest.raises(ValueError, match=words):
        check_data(x, **limits, name="pixels")


def test_large_data_are_checked_in_pieces(monkeypatch):
    monkeypatch.setattr(checks, "_CHUNK_VALUES", 8)
    x = torch.zeros(10, 3)
    x[7, 2] = x[9, 0] = 2.0
    with pytest.raises(ValueError, match=r"data: 2 of 30 values outside \[0, 1\], the first at index \(7, 2\): 2"):
        check_data(x, low=0, high=1)


@pytest.mark.parametrize(
    ("y", "words"),
    [
        ([0, 1, 2], "labels: expected a tensor, got list"),
        (torch.zeros(3), "labels: dtype is torch.float32"),
        (torch.zeros(2, dtype=torch.int64), r"shape is \(2,\), expected one label per datum, \(3,\)"),
        (torch.tensor([0, 1, 5]), r"1 of 3 outside -1..4 .*, the first at index 2: 5"),
        (torch.tensor([0, -2, 1]), r"1 of 3 outside -1..4 .*, the first at index 1: -2"),
    ],
)
def test_bad_labels_are_named(y, words):
    with pytest.raises(ValueError, match=words):
        check_labels(y, 3, num_classes=5)


def test_good_labels_pass():
    check_labels(torch.tensor([-1, 0, 4]), 3, num_classes=5)
    check_labels(torch.tensor([200], dtype=torch.uint8), 1)


def test_parts_of_a_data_set_must_fit():
    part, other = Split(torch.zeros(2, 3), torch.tensor([0, 2])), Split(torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"test: one datum has shape \(4,\), but \(3,\) in train"):
        DataSet("d", part, None, other, 3, ("a", "b", "c"), "")
    with pytest.raises(ValueError, match=r"train.y: 1 of 2 outside -1..1"):
        DataSet("d", part, None, None, 2, ("a", "b"), "")
    with pytest.raises(ValueError, match="class_names: got 1 names for 3 classes"):
        DataSet("d", part, None, None, 3, ("a",), "")
    with pytest.raises(ValueError, match="num_classes: None, but train has labels"):
        DataSet("d", part, None, None, None, (), "")
    with pytest.raises(ValueError, match=r"y: shape is \(3,\)"):
        Split(torch.zeros(2, 3), torch.zeros(3, dtype=torch.int64))
