"""``fit``: the same steps as a loop by hand, whatever the data come in, and nothing of the caller's touched."""

from __future__ import annotations

import csv
import logging
import math
import os
import random
import warnings
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from pyro.infer import RenyiELBO, Trace_ELBO, TraceEnum_ELBO, TraceMeanField_ELBO
from pyro.nn import PyroModule, PyroParam, pyro_method
from torch import nn

from pyro_mixvae.data import Batches, DataSet, Split, bernoulli_draw
from pyro_mixvae.models import GMVAE, VAE, FactorialMixtureVAE
from pyro_mixvae.training import FitResult, LinearWarmup, fit, start_mixture
from pyro_mixvae.training.history import History

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


def gmvae(event_shape=(4,), likelihood="normal", **options):
    network = {"kind": "mlp", "hidden_dims": [8], "batch_norm": True}
    return GMVAE(event_shape, 2, 3, 2, likelihood, encoder=network, decoder=network, **options)


def quietly(model, data, **options) -> FitResult:
    return fit(model, data, **{"max_epochs": 2, "seed": 0, "progress": False, "batch_size": 10, **options})


class Train(LightningDataModule):
    """A data module with training data only."""

    def __init__(self, train):
        super().__init__()
        self.train = train

    def train_dataloader(self):
        return self.train


class TrainAndValidation(Train):
    def val_dataloader(self):
        return self.train


class Loader:
    """Batches as a user's own loader may yield them."""

    def __init__(self, *batches):
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        return iter(self.batches)


def with_validation(x, validation, **options):
    return DataSet("mine", Split(x), Split(validation), None, None, (), source="", **options)


# --- the steps -------------------------------------------------------------------------------------------------------


def test_loss_curve_equals_the_recursion_written_down(toy, sgd):
    """With one batch, gradient descent on |x - loc|^2/2 is loc <- loc + lr (mean - loc)."""
    x = torch.tensor([[1.0, 2.0], [3.0, -2.0]])
    result = quietly(toy(), x, max_epochs=5, optimizer=sgd(0.25))
    losses, loc = [], torch.zeros(2)
    for _ in range(5):
        losses.append(0.5 * (x - loc).square().sum(-1).mean().item() + 2 * HALF_LOG_TWO_PI)
        loc = loc + 0.25 * (x.mean(0) - loc)
    assert [row["train/loss"] for row in result.history] == pytest.approx(losses, rel=1e-6)
    torch.testing.assert_close(result.model.loc.detach(), loc, rtol=1e-6, atol=0)


def test_equals_a_hand_written_loop_to_the_last_bit():
    """The same seed, batches, objective and fused Adam in a plain loop: identical losses and parameters."""
    x = torch.randn(35, 4)
    by_fit, by_hand = gmvae(), gmvae()
    by_hand.load_state_dict(by_fit.state_dict())
    history = quietly(by_fit, x, max_epochs=3, seed=7, lr=0.01).history

    by_hand.train()
    torch.manual_seed(7)
    batches = Batches(x, 10, seed=7)
    adam = torch.optim.Adam(by_hand.parameters(), lr=0.01, fused=True)
    elbo = by_hand.objective()
    losses = []
    with pyro.validation_enabled(False):
        for epoch in range(3):
            batches.set_epoch(epoch)
            total = torch.zeros(())
            for (batch,) in batches:
                adam.zero_grad()
                loss = elbo.differentiable_loss(by_hand.model, by_hand.guide, batch) / len(batch)
                loss.backward()
                adam.step()
                total += loss.detach() * len(batch)
            losses.append(total.item() / len(x))
    assert [row["train/loss"] for row in history] == losses
    for name, value in by_fit.state_dict().items():
        assert torch.equal(value, by_hand.state_dict()[name]), name


def test_terms_are_logged_by_readable_name_and_sum_to_the_loss():
    history = quietly(gmvae(), with_validation(torch.randn(35, 4), torch.randn(15, 4))).history
    assert [row["epoch"] for row in history] == [0, 1]
    for row in history:
        for part in ("train", "validation"):
            terms = {name for name in row if name.startswith(part)} - {f"{part}/loss"}
            assert terms == {f"{part}/{term}" for term in ("reconstruction", "conditional_prior", "w_prior", "c_prior")}
            assert sum(row[term] for term in terms) == pytest.approx(row[f"{part}/loss"], rel=1e-5)


def test_epoch_means_count_each_datum_once(toy, sgd):
    """A short last batch weighs less: the mean over data, not over batches."""
    x = torch.tensor([[0.0], [0.0], [6.0]])
    row = quietly(toy(dim=1), x, batch_size=2, max_epochs=1, optimizer=sgd(1e-9)).history[0]
    assert row["train/x"] == pytest.approx(0.5 * 36 / 3 + HALF_LOG_TWO_PI, rel=1e-5)


def test_default_optimizer_is_fused_adam(toy):
    (adam,) = quietly(toy(), torch.zeros(5, 2), lr=0.02).trainer.optimizers
    assert type(adam) is torch.optim.Adam
    assert adam.defaults["fused"] is True
    assert adam.defaults["lr"] == 0.02


def test_own_optimizer_sees_what_needs_a_gradient(toy):
    model = toy()
    model.shift.requires_grad_(False)
    seen = []

    def make(parameters):
        seen.extend(parameters)
        return torch.optim.SGD(seen, lr=0.1)

    quietly(model, torch.ones(5, 2), optimizer=make)
    assert len(seen) == 1
    assert seen[0] is model.loc


# --- data ------------------------------------------------------------------------------------------------------------


def test_all_kinds_of_data_give_the_same_training():
    x, y = torch.randn(25, 4), torch.randint(-1, 3, (25,))
    start = gmvae()
    kinds = {
        "tensor": x,
        "pair": (x, y),
        "float64": x.double(),
        "data set": DataSet("mine", Split(x), None, None, None, (), source=""),
        "module of x": Train(Batches(x, 10, seed=0)),
        "module of (x, y)": Train(Batches((x, y), 10, seed=0)),
    }
    histories = {}
    for kind, data in kinds.items():
        model = gmvae()
        model.load_state_dict(start.state_dict())
        histories[kind] = quietly(model, data).history
    for kind, history in histories.items():
        assert history == histories["tensor"], kind


def test_batches_of_bare_tensors_in_a_data_module(toy):
    """A user's loader may yield x itself, or lists, as PyTorch's ``DataLoader`` does."""
    bare = quietly(toy(), TrainAndValidation(Loader(torch.ones(3, 2), [torch.zeros(2, 2)])))
    assert bare.history[0].keys() >= {"train/x", "validation/x"}


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_a_data_loader_of_pytorch(toy):
    data = torch.utils.data.TensorDataset(torch.randn(20, 2))
    twice = [quietly(toy(), Train(torch.utils.data.DataLoader(data, 5, shuffle=True)), seed=3) for _ in range(2)]
    assert twice[0].history == twice[1].history


def test_labels_reach_model_and_guide(toy):
    seen = []

    class Labelled(toy):
        @pyro_method
        def guide(self, x, y=None):
            seen.append(y)
            return super().guide(x, y)

    quietly(Labelled(), (torch.zeros(3, 2), torch.tensor([1, -1, 0])), batch_size=3, max_epochs=1)
    assert sorted(seen[0].tolist()) == [-1, 0, 1]
    assert seen[0].dtype == torch.int64


def test_eight_bit_images_are_divided_by_255(toy, sgd):
    x = torch.tensor([[0, 255], [255, 255]], dtype=torch.uint8)
    model = quietly(toy(), x, optimizer=sgd(1.0), max_epochs=1).model
    torch.testing.assert_close(model.loc.detach(), torch.tensor([0.5, 1.0]))


def test_transform_is_for_training_data_only(toy):
    """Dynamic binarisation: fresh draws at each visit; validation data stay as they are."""
    half = torch.full((40, 2), 0.5)
    seen = {True: [], False: []}

    class Watching(toy):
        @pyro_method
        def model(self, x, y=None):
            seen[self.training].append(x)
            return super().model(x, y)

    quietly(Watching(), with_validation(half, half, transform=bernoulli_draw), batch_size=40)
    first, second = seen[True]
    assert set(first.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(first, second)
    assert all(torch.equal(x, half) for x in seen[False])


# --- a user's own model, Pyro's own objectives -----------------------------------------------------------------------


class Own(PyroModule):
    """No more than the protocol: ``model`` and ``guide``."""

    def __init__(self):
        super().__init__()
        self.net = nn.Linear(3, 4)
        self.back = nn.Linear(2, 3)

    @pyro_method
    def model(self, x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(self.back(z), 1.0).to_event(1), obs=x)

    @pyro_method
    def guide(self, x):
        loc, log_scale = self.net(x).chunk(2, -1)
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))


@pytest.mark.filterwarnings("ignore:TraceEnum_ELBO found no sample sites")
@pytest.mark.parametrize("elbo", [Trace_ELBO(), TraceMeanField_ELBO(), TraceEnum_ELBO(max_plate_nesting=1)])
def test_stock_elbo_as_objective(elbo):
    x = torch.randn(30, 3)
    history = quietly(Own(), x, objective=elbo, max_epochs=20, lr=0.05).history
    assert set(history[0]) == {"epoch", "train/loss", "learning_rate"}
    assert history[-1]["train/loss"] < history[0]["train/loss"]


def test_stock_elbo_is_divided_by_the_batch(toy, sgd):
    x = torch.tensor([[3.0, 1.0]] * 7)
    row = quietly(toy(), x, objective=TraceMeanField_ELBO(), max_epochs=1, optimizer=sgd(0.1)).history[0]
    assert row["train/loss"] == pytest.approx(5 + 2 * HALF_LOG_TWO_PI, rel=1e-6)


def test_own_objective_method_is_found(toy):
    assert "train/z" in quietly(toy(), torch.zeros(4, 2)).history[0]


def test_first_batch_is_checked_by_pyro():
    """Values outside a distribution's support: a message of Pyro's and not a NaN some steps later."""

    class Wrong(Own):
        @pyro_method
        def model(self, x):
            with pyro.plate("data", len(x)):
                z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
                pyro.sample("x", dist.Exponential(self.back(z).exp()).to_event(1), obs=x)

    model = Wrong()
    before = [value.clone() for value in model.parameters()]
    with pytest.raises(ValueError, match="support"):
        quietly(model, -torch.ones(5, 3), objective=Trace_ELBO())
    assert all(torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))


def test_pyros_checks_stay_off_if_the_caller_has_them_off(toy):
    class Odd(toy):
        @pyro_method
        def model(self, x, y=None):
            assert not pyro.infer.util.is_validation_enabled()
            return super().model(x, y)

    with pyro.validation_enabled(False):
        quietly(Odd(), torch.zeros(3, 2))


def test_models_with_the_same_parameter_names_are_kept_apart():
    """Pyro's global store goes by names, and a user's own modules need not have one."""

    class Scaled(PyroModule):
        def __init__(self):
            super().__init__()
            self.scale = PyroParam(torch.tensor(1.0), dist.constraints.positive)

        @pyro_method
        def model(self, x):
            with pyro.plate("data", len(x)):
                pyro.sample("x", dist.Normal(x.new_zeros(()), self.scale).expand([2]).to_event(1), obs=x)

        @pyro_method
        def guide(self, x):
            pass

    narrow, wide, untouched = Scaled(), Scaled(), Scaled()
    for model, scale in ((narrow, 0.1), (wide, 10.0)):
        quietly(model, scale * torch.randn(100, 2), objective=Trace_ELBO(), max_epochs=60, batch_size=100, lr=0.1)
    assert narrow.scale.item() == pytest.approx(0.1, rel=0.2)
    assert wide.scale.item() == pytest.approx(10.0, rel=0.2)
    assert untouched.scale.item() == 1


# --- randomness ------------------------------------------------------------------------------------------------------


def test_same_seed_same_history_and_parameters():
    x, start = torch.randn(35, 4), gmvae()
    runs = []
    for seed in (1, 1, 2):
        model = gmvae()
        model.load_state_dict(start.state_dict())
        torch.rand(random.randrange(5))  # what happened before does not matter
        runs.append((quietly(model, x, seed=seed).history, model.state_dict()))
    (first, weights), (second, same), (third, _) = runs
    assert first == second
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    assert first != third


def test_without_a_seed_torchs_random_state_decides():
    x, start, histories = torch.randn(35, 4), gmvae().state_dict(), []
    for seed in (5, 5, 6):
        model = gmvae()
        model.load_state_dict(start)
        pyro.set_rng_seed(seed)
        histories.append(quietly(model, x, seed=None).history)
    assert histories[0] == histories[1] != histories[2]


@pytest.mark.usefixtures("no_global_parameters")
def test_nothing_of_the_callers_is_touched(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    logger = logging.getLogger("lightning.pytorch")
    logger.setLevel(logging.DEBUG)
    pyro.param("own", torch.ones(()))
    x, model = torch.randn(25, 4), gmvae()

    def state():
        return {
            "torch": torch.get_rng_state().tolist(),
            "numpy": str(np.random.get_state()),  # noqa: NPY002
            "python": random.getstate(),
            "store": sorted(pyro.get_param_store().keys()),
            "dtype": torch.get_default_dtype(),
            "gradients": torch.is_grad_enabled(),
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "matmul": torch.get_float32_matmul_precision(),
            "threads": torch.get_num_threads(),
            "validation": (
                pyro.infer.util.is_validation_enabled(),
                dist.is_validation_enabled(),
                pyro.poutine.is_validation_enabled(),
                torch.distributions.Distribution._validate_args,
            ),
            "filters": list(warnings.filters),
            "logging": (logger.level, logging.getLogger().level, logging.getLogger("lightning").level),
            "environment": dict(os.environ),
            "files": os.listdir(),
        }

    before = state()
    quietly(model, with_validation(x, x), patience=1)
    after = state()
    logger.setLevel(logging.NOTSET)
    for name in before:
        assert after[name] == before[name], name


def test_the_callers_things_are_put_back_after_an_error(toy):
    class Broken(toy):
        @pyro_method
        def guide(self, x, y=None):
            raise RuntimeError("of the user's own")

    before, level = torch.get_rng_state(), logging.getLogger("lightning.pytorch").level
    with pytest.raises(RuntimeError, match="of the user's own"):
        quietly(Broken(), torch.zeros(3, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert pyro.infer.util.is_validation_enabled()
    assert logging.getLogger("lightning.pytorch").level == level


# --- what comes back -------------------------------------------------------------------------------------------------


def test_result(tmp_path):
    model = gmvae()
    model.eval()
    result = quietly(model, torch.randn(25, 4))
    assert result.model is model
    assert not any(part.training for part in model.modules())
    assert result.seconds > 0
    assert result.trainer.current_epoch == 2
    batch_norm = next(part for part in model.modules() if isinstance(part, nn.BatchNorm1d))
    assert batch_norm.num_batches_tracked == 6  # it was in training mode meanwhile


def test_float64_model_stays_float64():
    model = gmvae().double()
    result = quietly(model, torch.randn(25, 4))
    assert {value.dtype for value in model.parameters()} == {torch.float64}
    assert model.reconstruct(torch.randn(2, 4).double()).dtype == torch.float64
    assert math.isfinite(result.history[-1]["train/loss"])


def test_training_goes_on_where_it_stopped(toy, sgd):
    """Two trainings of the same model in sequence: parameters are the caller's."""
    x = torch.ones(4, 2)
    model = toy()
    for _ in range(2):
        quietly(model, x, optimizer=sgd(0.5), max_epochs=1)
    torch.testing.assert_close(model.loc.detach(), torch.full((2,), 0.75))


def test_metrics_file_holds_every_term_at_each_epoch(tmp_path):
    data = with_validation(torch.randn(25, 4), torch.randn(9, 4))
    history = quietly(gmvae(), data, out=tmp_path / "a" / "b", max_epochs=3, warmup=LinearWarmup(epochs=2)).history
    with (tmp_path / "a" / "b" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [{name: float(value) for name, value in row.items()} for row in rows] == history
    assert len(rows[0]) == 1 + 2 * 5 + 2


def test_metrics_file_when_validation_is_rare(tmp_path):
    data = with_validation(torch.randn(25, 4), torch.randn(9, 4))
    quietly(gmvae(), data, out=tmp_path, max_epochs=4, check_val_every_n_epoch=2)
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [bool(row["validation/loss"]) for row in rows] == [False, True, False, True]
    assert all(row["train/loss"] for row in rows)


def test_metrics_file_of_an_earlier_run_is_replaced(toy, tmp_path):
    for _ in range(2):
        quietly(toy(), torch.zeros(4, 2), out=tmp_path)
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 3


def test_checkpoint_is_the_last_state_and_holds_no_code(toy, tmp_path):
    model = quietly(toy(), torch.ones(4, 2), out=tmp_path, max_epochs=3).model
    assert os.listdir(tmp_path / "checkpoints") == ["last.ckpt"]
    checkpoint = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert torch.equal(checkpoint["state_dict"]["model.loc"], model.loc)
    assert checkpoint["epoch"] == 2
    assert all(isinstance(value, torch.Tensor) for value in checkpoint["state_dict"].values())
    assert len(History.of_state(checkpoint["pyro_mixvae"]["history"])) == 3


# --- early stopping --------------------------------------------------------------------------------------------------

#: Gradient descent from 0 towards 1 in steps of a tenth of the rest, against validation data at 0.3: the third
#: epoch (loc = 0.271) is the best.
AWAY = with_validation(torch.ones(4, 1), torch.full((4, 1), 0.3))


@pytest.mark.parametrize("to_disk", [True, False])
def test_stops_without_improvement_and_goes_back_to_the_best(toy, sgd, tmp_path, to_disk):
    out = tmp_path if to_disk else None
    result = quietly(toy(dim=1), AWAY, optimizer=sgd(0.1), max_epochs=50, patience=3, out=out)
    losses = [row["validation/loss"] for row in result.history]
    assert len(losses) == 3 + 3
    assert losses.index(min(losses)) == 2
    assert result.model.loc.item() == pytest.approx(1 - 0.9**3, rel=1e-6)
    assert not result.model.training


def test_patience_counts_after_the_warm_up(toy, sgd):
    warmup = LinearWarmup(epochs=6)
    result = quietly(toy(dim=1), AWAY, optimizer=sgd(0.1), max_epochs=50, patience=3, warmup=warmup)
    # the first epoch that counts is the one that ends the warm-up; three worse ones follow it
    assert len(result.history) == 6 + 3
    assert result.model.loc.item() == pytest.approx(1 - 0.9**3, rel=1e-6)


def test_validation_loss_is_taken_at_full_weight(toy, sgd):
    data = with_validation(torch.zeros(4, 1), torch.zeros(4, 1))
    model = toy(dim=1, shift=2.0)
    row = quietly(model, data, optimizer=sgd(1e-9), max_epochs=1, warmup=LinearWarmup(epochs=4)).history[0]
    assert row["train/z"] == pytest.approx(0.0)
    assert row["validation/z"] == pytest.approx(2.0)


def test_best_is_among_all_epochs_if_patience_never_runs_out(toy, sgd):
    result = quietly(toy(dim=1), AWAY, optimizer=sgd(0.1), max_epochs=5, patience=10)
    assert len(result.history) == 5
    assert result.model.loc.item() == pytest.approx(1 - 0.9**3, rel=1e-6)


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (torch.ones(4, 1), {}),
        (AWAY, {"check_val_every_n_epoch": 2}),
        (AWAY, {"limit_val_batches": 0}),
        (Train(Loader(torch.ones(3, 1))), {}),
    ],
    ids=["none", "rare", "switched off", "module"],
)
def test_patience_needs_validation(toy, data, options):
    model = toy(dim=1)
    with pytest.raises(ValueError, match="patience: needs validation data"):
        quietly(model, data, patience=2, **options)
    assert model.loc.item() == 0


# --- what goes to Lightning ------------------------------------------------------------------------------------------


def test_trainer_options_are_passed_on(toy, tmp_path):
    class Counts(Callback):
        def __init__(self):
            self.batches = 0

        def on_train_batch_end(self, *args):
            self.batches += 1

    counts = Counts()
    logger = CSVLogger(tmp_path, name="lightning")
    data = with_validation(torch.ones(30, 2), torch.ones(30, 2))
    mine = ModelCheckpoint(tmp_path / "mine", monitor="validation/loss", mode="max")
    result = quietly(
        toy(),
        data,
        callbacks=[counts, EarlyStopping("train/loss", stopping_threshold=1e9), mine],
        logger=logger,
        limit_train_batches=2,
        max_epochs=5,
        accelerator="cpu",
        patience=2,
    )
    assert counts.batches == 2  # the threshold is met after the first epoch
    assert len(result.history) == 1
    assert len(os.listdir(tmp_path / "mine")) == 1
    logger.save()
    assert "train/loss" in (tmp_path / "lightning" / "version_0" / "metrics.csv").read_text()


def test_one_callback_need_not_be_in_a_list(toy):
    quietly(toy(), torch.ones(4, 2), callbacks=EarlyStopping("train/loss"))


def test_max_time(toy):
    assert len(quietly(toy(), torch.ones(4, 2), max_epochs=10_000, max_time="00:00:00:01").history) < 10_000


def test_double_precision_of_lightning():
    result = quietly(gmvae(), torch.randn(20, 4), precision="64-true")
    assert math.isfinite(result.history[-1]["train/loss"])


# --- bad input -------------------------------------------------------------------------------------------------------

GOOD = torch.full((6, 1, 4, 4), 0.5)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (torch.where(torch.arange(6).view(6, 1, 1, 1) == 2, torch.nan, GOOD), "x: .*not finite"),
        (torch.where(torch.arange(6).view(6, 1, 1, 1) == 2, torch.inf, GOOD), "x: .*not finite"),
        (2 * GOOD.double() * 1.5, r"x: .*\[0, 1\]"),
        (-GOOD, r"x: .*\[0, 1\]"),
        (torch.zeros(6, 1, 5, 4), "x: expected shape"),
        (torch.zeros(6, 16), "x: expected shape"),
        (torch.zeros(6, 1, 4, 4, dtype=torch.int64), "x: dtype"),
        (torch.zeros(0, 1, 4, 4), "x: holds no data"),
        ((GOOD, torch.tensor([0, 1, 2, 0, 1, -2])), "y: .*-1"),
        ((GOOD, torch.tensor([0, 1])), "y: "),
        ((GOOD, torch.zeros(6)), "y: dtype"),
        (GOOD.numpy(), "data: expected tensors, got ndarray; torch.from_numpy makes"),
        ([GOOD] * 3, "data: expected a tensor"),
        ("digits", "data: expected a tensor"),
    ],
)
def test_bad_data(data, message):
    model = gmvae((1, 4, 4), "bernoulli")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=message) as error:
        quietly(model, data)
    assert "\n" not in str(error.value)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_bad_labels_of_a_data_set():
    with pytest.raises(ValueError, match=r"train.y: .*-1\.\.1"):
        DataSet("mine", Split(GOOD, torch.tensor([0, 1, 2, 0, 1, 1])), None, None, 2, ("a", "b"), source="")


def test_bad_validation_data_are_found_before_training():
    data = with_validation(GOOD, 3 * GOOD)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        quietly(gmvae((1, 4, 4), "bernoulli"), data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_epochs": 0}, "max_epochs: expected an integer >= 1, got 0"),
        ({"max_epochs": -1}, "max_epochs"),
        ({"max_epochs": None}, "max_epochs"),
        ({"max_epochs": 1.5}, "max_epochs"),
        ({"max_epochs": "3"}, "max_epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 2.0}, "batch_size"),
        ({"accumulate": 0}, "accumulate"),
        ({"patience": 0}, "patience: expected an integer >= 1"),
        ({"lr": 0.0}, "lr: expected a finite number > 0"),
        ({"lr": math.nan}, "lr"),
        ({"lr": "0.1"}, "lr"),
        ({"clip": -1.0}, "clip"),
        ({"clip": math.inf}, "clip"),
        ({"seed": -1}, "seed: expected an integer from 0"),
        ({"seed": 2**64}, "seed"),
        ({"seed": "a"}, "seed"),
        ({"optimizer": "adam"}, "optimizer: expected a function"),
        ({"optimizer": pyro.optim.Adam({"lr": 1e-3})}, "optimizer: expected .* torch.optim.Optimizer, got .*PyroOptim"),
        ({"optimizer": lambda parameters: None}, "optimizer: expected .*, which makes None"),
        ({"objective": "kl"}, "objective: expected an ELBO object .*, got 'kl'"),
        ({"objective": Trace_ELBO}, "objective: expected an ELBO object .*, got <class"),
        ({"objective": RenyiELBO()}, "objective: expected an ELBO object with loss_and_terms or differentiable_loss"),
        ({"schedule": "cosin"}, "schedule: .*did you mean 'cosine'"),
        ({"warmup": 3}, "warmup: expected a LinearWarmup"),
        ({"warmup": LinearWarmup(epochs=1, sites=["q"])}, "'q'"),
        ({"objective": Trace_ELBO(), "warmup": LinearWarmup(epochs=1)}, "warmup: Trace_ELBO has no weights"),
        ({"accelerater": "cpu"}, "trainer: no 'accelerater'; did you mean accelerator"),
        ({"bach_size": 3}, "did you mean batch_size"),
        ({"max_epoch": 3}, r"did you mean max_epochs or min_epochs or max_steps\?"),
        ({"limit_train_batches": 0}, "limit_train_batches: expected .*, got 0, which trains nothing"),
        ({"limit_train_batches": 0.0}, "limit_train_batches: expected .*, got 0.0, which trains nothing"),
        ({"limit_train_batches": 0.001}, "trainer: .*limit_train_batches"),
        ({"limit_train_batches": "all"}, "trainer: "),
        ({"accumulate_grad_batches": 2}, "use accumulate"),
        ({"gradient_clip_val": 1.0}, "use clip"),
        ({"accelerator": "abacus"}, "abacus"),
        ({"devices": 0}, "devices"),
        ({"precision": "12-true"}, "12-true"),
    ],
)
def test_bad_options(toy, options, message):
    model = toy(shift=1.0)
    with pytest.raises(ValueError, match=message):
        quietly(model, torch.ones(4, 2), **options)
    assert model.loc.sum() == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_an_accelerator_that_there_is_not(toy):
    with pytest.raises(ValueError, match=r"trainer: .*gpu|trainer: .*CUDA"):
        quietly(toy(), torch.ones(4, 2), accelerator="gpu")


def test_bad_models(toy):
    with pytest.raises(ValueError, match="model: Linear has no method 'model'"):
        quietly(nn.Linear(2, 2), torch.ones(4, 2))
    with pytest.raises(ValueError, match=r"objective: Own has no objective\(\)"):
        quietly(Own(), torch.ones(4, 3))
    frozen = toy()
    for parameter in frozen.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(ValueError, match="no parameter that needs a gradient"):
        quietly(frozen, torch.ones(4, 2))


def test_a_folder_that_cannot_be_written(toy, tmp_path):
    """A path below a file is unwritable even for root."""
    (tmp_path / "file").write_text("")
    model = toy()
    with pytest.raises(ValueError, match=r"out: cannot write to .*file/run"):
        quietly(model, torch.ones(4, 2), out=tmp_path / "file" / "run")
    assert model.loc.sum() == 0


# --- the progress ----------------------------------------------------------------------------------------------------


def test_progress_is_one_line_each_where_nobody_looks(capsys):
    fit(gmvae(), torch.randn(25, 4), max_epochs=20, seed=0)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert all(line.startswith("epoch ") and "c_prior" in line for line in lines)
    assert lines[-1].startswith("epoch 20/20")
    assert max(map(len, lines)) > 80


def test_no_progress(capsys):
    quietly(gmvae(), torch.randn(25, 4))
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def batch_normalised(num_data: int, **options: Any) -> None:
    network = {"kind": "mlp", "hidden_dims": [4], "batch_norm": True}
    model = VAE((3,), latent_dim=2, likelihood="normal", encoder=network, decoder={"kind": "mlp", "hidden_dims": [4]})
    fit(model, torch.rand(num_data, 3), max_epochs=1, progress=False, seed=0, **options)


@pytest.mark.parametrize(("num_data", "batch_size"), [(21, 10), (1, 10), (3, 1)])
def test_batch_norm_of_a_batch_of_one_datum(num_data, batch_size):
    with pytest.raises(ValueError, match="batch_size: a batch, the last perhaps, holds 1 datum, but batch norm"):
        batch_normalised(num_data, batch_size=batch_size)


def test_a_last_batch_of_two_or_one_that_is_not_reached():
    batch_normalised(22, batch_size=10)
    batch_normalised(21, batch_size=10, limit_train_batches=2)


def test_a_number_of_data_that_the_model_was_not_made_for():
    model = FactorialMixtureVAE((3,), num_data=100, latent_dim=2, num_components=3, likelihood="normal")
    with pytest.raises(ValueError, match="num_data: FactorialMixtureVAE was made for 100 training data, got 20"):
        fit(model, torch.rand(20, 3), max_epochs=1, progress=False)
    with pytest.raises(ValueError, match="num_data: FactorialMixtureVAE was made for 100 training data, got 20"):
        start_mixture(model, torch.rand(20, 3), pretraining_epochs=1, progress=False)
    network = {"kind": "mlp", "hidden_dims": [4]}
    vade = FactorialMixtureVAE((3,), 100, 2, [3], "normal", encoder=network, decoder=network, xi="parameters")
    fit(vade, torch.rand(20, 3), max_epochs=1, batch_size=10, progress=False)
