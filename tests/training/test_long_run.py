"""A long training holds no more memory than a short one."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback

from benchmarks.long_run import measured, slope
from pyro_mixvae.training import fit
from tests.models.every_model import NAMES, every, some_data


class Alive(Callback):
    """How many objects and tensors there are, at the beginning of some epochs."""

    def __init__(self, epochs):
        self.epochs, self.counts = epochs, []

    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch in self.epochs:
            gc.collect()
            objects = gc.get_objects()
            tensors = sum(issubclass(type(thing), torch.Tensor) for thing in objects)
            self.counts.append((tensors, len(objects)))


@pytest.fixture
def only_what_is_new():
    """What earlier tests of this process left is not counted, and may go when it likes: ``gc.get_objects`` skips it."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("only_what_is_new")
@pytest.mark.parametrize("name", ["GMVAE", *(pytest.param(n, marks=pytest.mark.slow) for n in NAMES if n != "GMVAE")])
def test_nothing_piles_up(name, tmp_path):
    """No tensor more after 30 epochs than after 10, and no object to speak of."""
    alive = Alive((10, 30))
    fit(every(name), some_data(), max_epochs=31, batch_size=6, seed=0, progress=False, out=tmp_path, callbacks=alive)
    (tensors, objects), (later_tensors, later_objects) = alive.counts
    assert later_tensors == tensors
    assert later_objects - objects <= 3 * 20


class Heap(Callback):
    """Python's own memory in bytes, at the beginning of some epochs; counted from the first of them on."""

    def __init__(self, *epochs):
        self.epochs, self.bytes = epochs, []

    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch in self.epochs:
            gc.collect()
            if not self.bytes:
                tracemalloc.start()
            self.bytes.append(tracemalloc.get_traced_memory()[0])


@pytest.mark.slow
def test_python_holds_no_more(tmp_path):
    """Over a hundred epochs with a checkpoint each; the history has room for more rows than these."""
    heap = Heap(10, 30, 130)
    try:
        fit(
            every("GMVAE"),
            some_data(),
            max_epochs=131,
            batch_size=6,
            seed=0,
            progress=False,
            out=tmp_path,
            callbacks=heap,
        )
    finally:
        tracemalloc.stop()
    # what is alive at the moment differs by some kilobytes
    assert heap.bytes[2] - heap.bytes[1] < 2**14


def test_the_slope_of_what_grows_and_of_what_does_not():
    steps = np.arange(0, 20_000, 15.0)
    noise = np.random.default_rng(0).normal(0, 0.2, len(steps))
    flat, growing = slope(steps, 800 + noise), slope(steps, 800 + 1e-3 * steps + noise)
    assert flat["low"] <= 0 <= flat["high"]
    assert growing["slope"] == pytest.approx(1.0, abs=0.05)
    assert growing["low"] > 0
    warm = np.where(steps < 0.15 * steps[-1], steps, 0.15 * steps[-1])
    assert abs(slope(steps, 800 + warm)["slope"]) < 1e-6


@pytest.mark.slow
def test_twenty_thousand_steps():
    """What the process holds does not grow, or by less than a quarter of a kilobyte for each epoch."""
    steps, resident, loss, _ = measured(20_000)
    found = slope(steps, resident)
    assert steps[-1] >= 19_900
    assert np.isfinite(loss)
    assert found["low"] <= 0 <= found["high"] or found["growth"] < len(steps) / 4096, found
