"""Batches of a mapped file are those of the same array in memory; the thread ends with whoever asked."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch

from pyro_mixvae.data import Batches, load
from pyro_mixvae.data.ahead import ahead


def running() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "pyro_mixvae-ahead"]


def test_the_next_is_made_while_this_one_is_used():
    made = []
    items = ahead((made.append(number), number)[1] for number in range(5))
    assert next(items) == 0
    start = time.monotonic()
    while len(made) < 4 and time.monotonic() < start + 30:
        time.sleep(0.01)
    assert made == [0, 1, 2, 3]  # two wait, one more is in hand
    assert list(items) == [1, 2, 3, 4]
    assert not running()


def test_an_error_comes_at_its_place():
    def items():
        yield 1
        raise ValueError("row 2")

    fetched = ahead(items())
    assert next(fetched) == 1
    with pytest.raises(ValueError, match="row 2"):
        next(fetched)
    assert not running()


def test_who_stops_early_leaves_no_thread():
    items = ahead(iter(range(1000)))
    next(items)
    items.close()
    assert not running()


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_a_file_gives_the_batches_of_the_array(tmp_path, kind):
    array = (np.random.default_rng(0).random((23, 1, 4, 4)) * (255 if kind == np.uint8 else 1)).astype(kind)
    np.save(tmp_path / "x.npy", array)
    data = load(f"npy:{tmp_path / 'x.npy'}")
    assert data.train.in_file
    in_file, in_memory = Batches(data.train, 5, seed=3), Batches(torch.from_numpy(array), 5, seed=3)
    for (x,), (other,) in zip(in_file, in_memory, strict=True):
        assert torch.equal(x, other)
    assert not running()


def test_pieces_are_all_the_data(tmp_path):
    x = torch.randint(256, (23, 1, 4, 4), dtype=torch.uint8)
    np.save(tmp_path / "x.npy", x.numpy())
    data = load(f"npy:{tmp_path / 'x.npy'}", split="20/0/3")
    pieces = [part for part, _ in data.train.pieces(num_values=100)]
    assert [len(part) for part in pieces] == [6, 6, 6, 2]
    assert torch.equal(torch.cat(pieces), data.train.values())
