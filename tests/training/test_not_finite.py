"""NaN and infinity planted where they occur: said where and whence, or left out and counted."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule
from torch.utils.data import DataLoader, TensorDataset

from pyro_mixvae.data import DataSet, Split
from pyro_mixvae.models import VAE
from pyro_mixvae.training import TrainingDiverged, fit
from tests.models.every_model import MLP, NAMES, SHAPE, every, some_data

NUM_DATA, SIZE = 24, 6
REST = [name for name in NAMES if name != "GMVAE"]
QUIET = {"seed": 0, "progress": False, "accelerator": "cpu"}


class Loaders(LightningDataModule):
    """Batches in the data's own order, which nobody has checked."""

    def __init__(self, x, validation=None):
        super().__init__()
        self.x, self.validation = x, validation

    def train_dataloader(self):
        return DataLoader(TensorDataset(self.x), batch_size=SIZE)


class WithValidation(Loaders):
    def val_dataloader(self):
        return DataLoader(TensorDataset(self.validation), batch_size=SIZE)


class At(Callback):
    """Does something to the model before a step."""

    def __init__(self, step, what):
        self.step, self.what = step, what

    def on_train_batch_start(self, trainer, module, batch, batch_index):
        if module.step == self.step:
            with torch.no_grad():
                self.what(module.model)


class Noted(Callback):
    """The model's state before each batch."""

    def __init__(self):
        self.states = []

    def on_train_batch_start(self, trainer, module, batch, batch_index):
        self.states.append(copy.deepcopy(module.model.state_dict()))


def poisoned(*rows, value=math.nan):
    x = some_data(NUM_DATA)
    x[list(rows), 0, 0, 0] = value
    return x


def same(first, second):
    return all(torch.equal(value, second[name]) for name, value in first.items())


# --- reported --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*NAMES[:1], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[1:])])
def test_nan_in_data(name, tmp_path):
    """Of rows 13 and 16, the third batch's second and fifth."""
    x = poisoned(13, 16)
    with pytest.raises(TrainingDiverged) as error:
        fit(every(name), Loaders(x), max_epochs=1, out=tmp_path, **QUIET)
    message = str(error.value)
    assert "at step 2 (epoch 0, batch 2)" in message
    assert "(site 'x') is nan" in message
    assert "; x is not finite in 2 of the 6 data of the batch, rows 1, 4" in message
    assert "\n" not in message
    assert not list(tmp_path.glob("checkpoints/*"))


@pytest.mark.parametrize("name", ["GMVAE", *(pytest.param(name, marks=pytest.mark.slow) for name in REST)])
def test_nan_in_a_parameter(name, tmp_path):
    """In the second epoch: the first one's checkpoint stays as it is."""
    first = next(name for name, _ in every(name).named_parameters() if name.startswith("encoder"))
    spoil = At(5, lambda model: dict(model.named_parameters())[first].view(-1)[0].fill_(math.nan))
    with pytest.raises(TrainingDiverged, match=rf"at step 5 \(epoch 1, batch 1\).*parameters .* not finite: {first}$"):
        fit(every(name), some_data(), batch_size=SIZE, max_epochs=3, out=tmp_path, callbacks=spoil, **QUIET)
    state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert all(value.isfinite().all() for value in state.values())
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 2


def narrow(likelihood="normal"):
    """A model whose likelihood can overflow, in float32, at data far from what it expects."""
    return VAE(SHAPE, 2, likelihood={"name": likelihood, "scale": 1e-18}, encoder=MLP, decoder=MLP)


def test_an_overflowing_scale_names_the_data():
    """Squares of distances over 1e-36 overflow where the distance is above 20; data 7 and 20 of the set alone are
    that far, and the message says which batch they were in, where in it, and their numbers in the data set."""
    x = 1e-3 * some_data(NUM_DATA)
    x[[7, 20]] = 100.0
    model = narrow()
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.zero_()
    with pytest.raises(TrainingDiverged) as error:
        fit(model, x, batch_size=NUM_DATA, max_epochs=1, **QUIET)
    message = str(error.value)
    assert "reconstruction (site 'x') is inf; it comes from 2 of the 24 data of the batch, rows" in message
    named = message.partition("(data ")[2].partition(" of the training data")[0]
    assert {int(number) for number in named.split(",")} == {7, 20}


def test_many_rows_are_not_all_listed():
    with pytest.raises(TrainingDiverged, match=r"in 5 of the 6 data of the batch, rows 0, 1, 2 and 2 more$"):
        fit(every("VAE"), Loaders(poisoned(0, 1, 2, 3, 4)), max_epochs=1, **QUIET)
    with pytest.raises(TrainingDiverged, match=r"x is not finite in all 6 data of the batch$"):
        fit(every("VAE"), Loaders(poisoned(*range(6))), max_epochs=1, **QUIET)


def test_nan_in_validation_data(tmp_path):
    data = WithValidation(some_data(), poisoned(8))
    with pytest.raises(TrainingDiverged) as error:
        fit(every("VAE"), data, max_epochs=2, patience=1, out=tmp_path, **QUIET)
    message = str(error.value)
    assert message.startswith("validation: the loss is nan at batch 1 of validation data after step 3 (epoch 0): recon")
    assert message.endswith("x is not finite in 1 of the 6 data of the batch, rows 2")


# --- left out --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*NAMES[:1], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[1:])])
def test_a_batch_that_is_left_out_leaves_nothing_behind(name):
    """Neither parameters nor running statistics nor q(xi) are touched by it, and training goes on."""
    noted = Noted()
    result = fit(every(name), Loaders(poisoned(13)), max_epochs=2, on_nan="skip", callbacks=noted, **QUIET)
    assert [row["skipped_batches"] for row in result.history] == [1, 1]
    states = [*noted.states, result.model.state_dict()]
    assert all(value.isfinite().all() for value in states[-1].values() if value.is_floating_point())
    for batch in range(8):
        assert same(states[batch], states[batch + 1]) == (batch % 4 == 2), batch
    assert all(math.isfinite(value) for row in result.history for value in row.values())


def test_the_rest_is_as_if_it_were_not_there(sgd, toy):
    """Batches of 6, the third left out: the parameters of a training on the 18 others."""
    x = torch.randn(NUM_DATA, 2, generator=torch.Generator().manual_seed(1))
    spoiled = x.clone()
    spoiled[15, 1] = math.inf
    options = {"optimizer": sgd(0.1), "max_epochs": 3, **QUIET}
    found = fit(toy(), Loaders(spoiled), on_nan="skip", **options)
    expected = fit(toy(), Loaders(torch.cat([x[:12], x[18:]])), **options)
    assert same(found.model.state_dict(), expected.model.state_dict())
    for row, other in zip(found.history, expected.history, strict=True):
        assert row.pop("skipped_batches") == 1
        assert row == pytest.approx(other)


@pytest.mark.parametrize("bad", [2, 3])
def test_accumulated_batches_without_one_of_them(sgd, toy, bad):
    """Steps of two batches: that of batches 2 and 3 is made along the mean gradient of the one that is left."""
    x = torch.randn(NUM_DATA, 2, generator=torch.Generator().manual_seed(1))
    spoiled = x.clone()
    spoiled[SIZE * bad] = math.nan
    result = fit(toy(), Loaders(spoiled), max_epochs=1, accumulate=2, on_nan="skip", optimizer=sgd(0.1), **QUIET)
    loc, kept = torch.zeros(2), 5 - bad
    for rows in (x[:12], x[SIZE * kept : SIZE * (kept + 1)]):
        loc = loc + 0.1 * (rows.mean(0) - loc)
    torch.testing.assert_close(result.model.loc.detach(), loc)


def test_a_gradient_that_is_not_finite(sgd):
    """Where the loss is finite and its gradient is not, there is no step."""
    from tests.training.test_module import Cliff

    model = Cliff()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(TrainingDiverged, match="parameters are not finite"):
        fit(copy.deepcopy(model), torch.zeros(2, 1), max_epochs=1, optimizer=sgd(0.1), **QUIET)
    result = fit(model, torch.zeros(2, 1), max_epochs=1, optimizer=sgd(0.1), on_nan="skip", **QUIET)
    assert result.history[0]["skipped_batches"] == 1
    assert same(model.state_dict(), before)


def test_validation_batches_are_left_out_of_the_mean():
    x = some_data()
    kept = torch.cat([x[:6], x[12:]])
    found = fit(every("CSRAE"), WithValidation(x, poisoned(7)), max_epochs=1, on_nan="skip", **QUIET)
    clean = fit(every("CSRAE"), WithValidation(x, kept), max_epochs=1, on_nan="skip", **QUIET)
    assert found.history[0]["skipped_validation_batches"] == 1
    # other draws of z for the batches after it
    assert found.history[0]["validation/loss"] == pytest.approx(clean.history[0]["validation/loss"], rel=0.02)


def test_nothing_left():
    with pytest.raises(TrainingDiverged, match="on_nan: all 4 train batches of an epoch are not finite, none is left"):
        fit(every("VAE"), Loaders(poisoned(*range(NUM_DATA))), max_epochs=1, on_nan="skip", **QUIET)


def test_a_parameter_that_is_not_finite_is_not_a_batch_s_fault():
    """Every batch is left out then, so the training ends, with its checkpoint as it was."""
    spoil = At(1, lambda model: model.encoder.layers[0].weight.fill_(math.nan))
    with pytest.raises(TrainingDiverged, match="parameters are not finite"):
        fit(every("VAE"), some_data(), batch_size=SIZE, max_epochs=1, on_nan="skip", callbacks=spoil, **QUIET)


def test_refused():
    with pytest.raises(ValueError, match="on_nan: expected 'raise' or 'skip', got 'ignore'"):
        fit(every("VAE"), some_data(), max_epochs=1, on_nan="ignore", **QUIET)


def test_numbers_of_a_shuffled_batch():
    x = some_data()
    seen = []

    class See(Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_index):
            seen.append(torch.equal(x[trainer.train_dataloader.numbers(batch_index)], batch[0]))

    data = DataSet("mine", Split(x), None, None, None, (), source="")
    fit(every("VAE"), data, batch_size=5, max_epochs=2, callbacks=See(), **QUIET)
    assert seen == [True] * 10
