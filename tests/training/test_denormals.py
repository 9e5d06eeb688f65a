"""Numbers below the smallest normal one: zero while a model is trained, and as the caller had it before and after."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest
import torch
from lightning.pytorch import Callback

from pyro_mixvae.training import denormals, fit, run

TINY = torch.finfo(torch.float32).tiny

# asked with what holds already, so that nothing is changed
pytestmark = pytest.mark.skipif(
    not torch.set_flush_denormal(denormals.are_flushed()), reason="this processor cannot flush"
)

THREADS = """
import torch
from pyro_mixvae.training.denormals import flushed
torch.set_num_threads(2)
with flushed():
    halved = torch.full((1 << 20,), torch.finfo(torch.float32).tiny) / 2
print(int((halved == 0).sum()), int((torch.full((8,), torch.finfo(torch.float32).tiny) / 2 == 0).sum()))
"""


@pytest.fixture(autouse=True)
def as_before():
    before = denormals.are_flushed()
    yield
    torch.set_flush_denormal(before)


@pytest.fixture(params=[False, True], ids=["kept", "flushed"])
def callers(request):
    torch.set_flush_denormal(request.param)
    return request.param


class Look(Callback):
    """What a training step finds."""

    def __init__(self, end: BaseException | None = None) -> None:
        self.found: list[bool] = []
        self.end = end

    def on_train_batch_start(self, *_):
        self.found.append(bool((torch.full((3,), TINY) / 2 == 0).all()))
        if self.end is not None:
            raise self.end


def test_they_are_zero_in_a_training_and_as_before_afterwards(toy, callers):
    look = Look()
    fit(toy(), torch.randn(20, 2), max_epochs=1, seed=0, progress=False, callbacks=[look])
    assert look.found
    assert all(look.found)
    assert denormals.are_flushed() == callers


def test_a_training_that_fails_leaves_them_as_before(toy, callers):
    with pytest.raises(OSError, match="gone"):
        fit(toy(), torch.randn(20, 2), max_epochs=1, seed=0, progress=False, callbacks=[Look(OSError("gone"))])
    assert denormals.are_flushed() == callers


def test_a_run_flushes_from_its_first_line(monkeypatch):
    found = []

    def open_data(*_):
        found.append(denormals.are_flushed())
        raise ValueError("no data")

    monkeypatch.setattr(run, "open_data", open_data)
    with pytest.raises(ValueError, match="no data"):
        run.train(recipe=None)
    assert found == [True]
    assert not denormals.are_flushed()


def test_threads_that_torch_starts_meanwhile_flush_too():
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(1 << 20), "0"]


@pytest.mark.parametrize("flush", [False, True])
def test_adams_average_of_a_gradient_that_has_become_zero(flush):
    """0.9 times the smallest number there is, rounded, is that number: it stays for ever, or is zero."""
    weight = torch.nn.Parameter(torch.ones(4))
    adam = torch.optim.Adam([weight], fused=True)
    weight.grad = torch.full((4,), 1e-3)
    adam.step()
    weight.grad.zero_()
    torch.set_flush_denormal(False)
    with denormals.flushed() if flush else contextlib.nullcontext():
        for _ in range(1000):
            adam.step()
    assert ((adam.state[weight]["exp_avg"] == 0) == flush).all()


def test_numpy_does_not_warn_of_it():
    script = (
        "import numpy; from pyro_mixvae.training.denormals import flushed\nwith flushed(): numpy.finfo(numpy.float64)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)
