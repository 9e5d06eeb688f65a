"""Ctrl-C in the middle of an epoch: a checkpoint of that step, from which the training goes on bit for bit."""

from __future__ import annotations

import os
import signal
import threading

import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule
from torch.utils.data import DataLoader, TensorDataset

from pyro_mixvae.data import Batches, LabelledBatches, bernoulli_draw, load
from pyro_mixvae.models import GMVAE, VAE
from pyro_mixvae.training import fit
from pyro_mixvae.training.checkpoints import read_checkpoint
from tests.models.every_model import NAMES, every, some_data
from tests.training.test_resume import digits, same, state, train

__all__ = ["digits"]


class CtrlC(Callback):
    """Ctrl-C itself, in the given training step of an epoch; ``times`` of them."""

    def __init__(self, epoch, batch, times=1):
        self.epoch, self.batch, self.times = epoch, batch, times

    def on_train_batch_start(self, trainer, module, batch, index):
        if (trainer.current_epoch, index) == (self.epoch, self.batch):
            for _ in range(self.times):
                os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(autouse=True)
def handler_put_back(ctrl_c_heard):
    """For all tests here."""


def test_where_it_is_ignored_it_stays_so(digits, tmp_path):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert len(train(VAE, digits, out=tmp_path, callbacks=CtrlC(1, 1)).history) == 6
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize("epoch", [0, 3])
def test_in_the_middle_of_an_epoch(digits, tmp_path, capsys, epoch):
    """Five batches, an optimiser step of two: the third is finished with the fourth, which is the last but one."""
    whole = train(GMVAE, digits, out=tmp_path / "whole", batch_size=60)
    with pytest.raises(KeyboardInterrupt, match=rf"stopped in epoch {epoch + 1} of 6, after 4 of its 9 batches"):
        train(GMVAE, digits, out=tmp_path / "run", batch_size=60, callbacks=CtrlC(epoch, 2))
    assert capsys.readouterr().err == "stopping after this step; Ctrl-C again stops at once\n"
    stopped = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["pyro_mixvae"]
    assert len(stopped["history"]) == epoch
    random = torch.get_rng_state()
    resumed = train(GMVAE, digits, resume=tmp_path / "run", batch_size=60, seed=None)
    assert torch.equal(torch.get_rng_state(), random)
    assert resumed.history == whole.history
    assert same(resumed.model.state_dict(), whole.model.state_dict())
    files = [tmp_path / folder / "metrics.csv" for folder in ("whole", "run")]
    assert files[0].read_bytes() == files[1].read_bytes()
    for name in ("last", "best"):
        first, second = state(tmp_path / "whole", name), state(tmp_path / "run", name)
        for key in ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "pyro_mixvae", "global_step"):
            assert same(first[key], second[key]), key


def test_stopped_again_and_again(digits, tmp_path):
    options = {"accumulate": 1, "batch_size": 60, "max_epochs": 2}
    whole = train(VAE, digits, **options)
    moments = [(0, 1), (0, 2), (0, 5), (1, 0), (1, 4)]
    for number, moment in enumerate(moments):
        place = {"resume": tmp_path} if number else {"out": tmp_path}
        with pytest.raises(KeyboardInterrupt, match=f"after {moment[1] + 1} of its 9"):
            train(VAE, digits, **options, **place, callbacks=CtrlC(*moment))
    resumed = train(VAE, digits, **options, resume=tmp_path)
    assert resumed.history == whole.history
    assert same(resumed.model.state_dict(), whole.model.state_dict())


@pytest.mark.parametrize("name", ["MVAE", *(pytest.param(n, marks=pytest.mark.slow) for n in NAMES if n != "MVAE")])
def test_every_model(name, tmp_path):
    """Also the adversary, q(xi), annealed temperatures and what a model counts within an epoch."""
    options = {"max_epochs": 3, "batch_size": 6, "seed": 0, "progress": False}
    data = some_data()
    whole = fit(every(name), data, **options)
    with pytest.raises(KeyboardInterrupt, match="stopped in epoch 2 of 3, after 2 of its"):
        fit(every(name), data, **options, out=tmp_path, callbacks=CtrlC(1, 1))
    resumed = fit(every(name), data, **options, resume=tmp_path)
    assert resumed.history == whole.history
    assert same(resumed.model.state_dict(), whole.model.state_dict())


def test_in_the_last_steps_it_ends_with_the_epoch(digits, tmp_path):
    for epoch, batch in [(1, 4), (2, 3)]:
        options = {"callbacks": CtrlC(epoch, batch), "max_epochs": 3, "schedule": None, "accumulate": 1}
        with pytest.raises(KeyboardInterrupt, match=f"stopped after {epoch + 1} of 3 epochs"):
            train(VAE, digits, out=tmp_path / str(epoch), **options)
        stopped = read_checkpoint(tmp_path / str(epoch) / "checkpoints" / "last.ckpt")["pyro_mixvae"]
        assert len(stopped["history"]) == epoch + 1
        assert "in_epoch" not in stopped


def test_the_second_stops_at_once(digits, tmp_path):
    with pytest.raises(KeyboardInterrupt, match="stopped after 1 of 6 epochs"):
        train(VAE, digits, out=tmp_path, callbacks=CtrlC(1, 1, times=2))
    stopped = read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["pyro_mixvae"]
    assert len(stopped["history"]) == 1
    assert "in_epoch" not in stopped


def test_without_a_folder_the_first_does(digits):
    with pytest.raises(KeyboardInterrupt, match="stopped after 1 of 6 epochs"):
        train(VAE, digits, callbacks=CtrlC(1, 1))


def test_a_loader_that_cannot_say_where_it_stands(tmp_path):
    class Loaders(LightningDataModule):
        def train_dataloader(self):
            return DataLoader(TensorDataset(load("digits").train.x[:100]), batch_size=20, shuffle=True)

    with pytest.raises(KeyboardInterrupt, match="stopped after 1 of 6 epochs"):
        train(VAE, Loaders(), patience=None, warmup=None, out=tmp_path, callbacks=CtrlC(1, 1))
    assert "in_epoch" not in read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["pyro_mixvae"]


def test_in_another_thread_no_handler_is_set(digits):
    ended = []
    thread = threading.Thread(target=lambda: ended.append(train(VAE, digits, max_epochs=1)))
    thread.start()
    thread.join()
    assert len(ended) == 1


def test_another_number_of_processes_is_refused_in_the_middle_of_an_epoch(digits, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(VAE, digits, accumulate=1, out=tmp_path, callbacks=CtrlC(0, 1))
    file = tmp_path / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(file, weights_only=True)
    checkpoint["pyro_mixvae"]["in_epoch"]["means"] *= 2
    torch.save(checkpoint, file)
    with pytest.raises(ValueError, match=r"devices: .* with 2 processes and goes on with as many, got 1"):
        train(VAE, digits, accumulate=1, resume=tmp_path)


@pytest.mark.parametrize("kind", ["all", "labelled"])
def test_batches_from_where_others_stood(kind):
    x, y = torch.rand(40, 3), torch.tensor([0, 1, -1, -1] * 10)
    if kind == "all":
        make = lambda: Batches((x, y), batch_size=6, seed=1, transform=bernoulli_draw)  # noqa: E731
    else:
        make = lambda: LabelledBatches((x, y), batch_size=6, labelled=2, seed=1, transform=bernoulli_draw)  # noqa: E731
    for epoch in (0, 1):
        first, second = make(), make()
        first.set_epoch(epoch)
        second.set_epoch(epoch)
        everything = list(first)
        assert first.state_dict() == {"given": 0}
        beginning = iter(first)
        begun = [next(beginning) for _ in range(2)]
        assert first.state_dict() == {"given": 2}
        second.load_state_dict(first.state_dict())
        assert same([*begun, *second], everything)
        # the one after it is whole again
        assert same(list(second), everything)
