"""The rows of a long training: handed out as they came, kept in little memory."""

from __future__ import annotations

import tracemalloc

import pytest

from pyro_mixvae.training.history import BLOCK, History


def test_rows_come_back_as_they_were():
    rows = [{"epoch": 0, "a": 0.1}, {"epoch": 1, "a": 1e300, "b": -0.0}, {"epoch": 2, "b": 3.0, "a": 0.5}, {"epoch": 3}]
    history = History(rows)
    assert list(history) == rows
    assert [list(row) for row in history] == [list(row) for row in rows]
    assert all(type(row["epoch"]) is int for row in history)
    assert len(history) == 4
    assert history.last() == {"epoch": 3}
    history.append({"epoch": 4, "a": 2.0})
    assert history.last() == {"epoch": 4, "a": 2.0}
    assert list(History(history)) == [*rows, {"epoch": 4, "a": 2.0}]
    again = History.of_state(history.state())
    assert list(again) == list(history)
    again.append({"epoch": 5})
    assert len(again) == 6
    assert list(History.of_state(History().state())) == []


def test_none_yet():
    assert list(History()) == []
    with pytest.raises(ValueError, match="history: there is no complete epoch yet"):
        History().last()


def test_a_row_takes_eight_bytes_a_number_in_room_that_doubles():
    history = History()
    names = [f"train/{number}" for number in range(9)]
    tracemalloc.start()
    for epoch in range(10_000):
        history.append({"epoch": epoch, **dict.fromkeys(names, float(epoch))})
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 2 * 10_000 * (8 * 10 + 4)
    assert [row["epoch"] for row in history] == list(range(10_000))


def test_no_memory_is_asked_for_in_the_first_thousand_epochs():
    history = History()
    history.append({"epoch": 0, "train/loss": 1.0, "validation/loss": 2.0})
    tracemalloc.start()
    for epoch in range(1, 1000):
        history.append({"epoch": epoch, "train/loss": 1.0, "validation/loss": 2.0})
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # the last row and the tools of this test, beside 24 kB of numbers
    assert taken < 2**12


def test_checkpoints_of_many_epochs_are_of_one_size():
    """Memory of growing sizes, taken and given back, leaves holes that nothing fits in."""
    history, lengths = History(), set()
    for epoch in range(500):
        history.append({"epoch": epoch, "train/loss": 1.0, "validation/loss": 2.0})
        lengths.add(len(history.state()))
    assert lengths == {BLOCK}
    assert list(History.of_state(history.state())) == list(history)
