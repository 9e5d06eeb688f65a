"""The Lightning module: groups of batches, clipping, schedules, several updates, losses that are not finite."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from lightning.pytorch import Callback
from pyro.infer import Trace_ELBO
from pyro.nn import PyroModule, pyro_method
from torch import nn

from pyro_mixvae.models import GMVAE
from pyro_mixvae.training import LinearWarmup, TrainingDiverged, Update, fit


def quietly(model, data, **options):
    return fit(model, data, **{"max_epochs": 1, "seed": 0, "progress": False, **options})


# --- accumulate and clip ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_data", [12, 10, 9, 20])
def test_accumulated_batches_equal_a_larger_one(toy, sgd, num_data):
    """Also where the last batch is short, and where the last group has fewer batches: 4, 4, 2 | 4, 4, 1 | 12 and 8."""
    x = torch.randn(num_data, 3)
    small, large = toy(3), toy(3)
    quietly(small, x, batch_size=4, accumulate=3, optimizer=sgd(0.1), max_epochs=2)
    quietly(large, x, batch_size=12, optimizer=sgd(0.1), max_epochs=2)
    torch.testing.assert_close(small.loc, large.loc, rtol=1e-6, atol=1e-7)


def test_accumulate_with_a_real_model():
    """The same batches and noise; only the order of summation differs."""
    x = torch.randn(12, 4)
    gradients = []
    for accumulate, batch_size in ((1, 12), (3, 4)):
        pyro.set_rng_seed(1)
        model = GMVAE((4,), 2, 3, 2, "normal", num_particles=1)
        with torch.no_grad():  # a guide without noise
            model.encoder.layers[-1].weight[...] = 0
            model.encoder.layers[-1].bias[...] = 0
            model.encoder.layers[-1].bias[2:4] = model.encoder.layers[-1].bias[6:8] = -40
        before = [value.clone() for value in model.parameters()]
        options = {"optimizer": lambda p: torch.optim.SGD(p, lr=0.1), "clip": None}
        quietly(model, x, batch_size=batch_size, accumulate=accumulate, **options)
        gradients.append(torch.cat([(b - a).flatten() for a, b in zip(model.parameters(), before, strict=True)]))
    assert gradients[0].norm() > 0
    assert (gradients[0] - gradients[1]).norm() < 1e-3 * gradients[0].norm()


def test_steps_are_counted_per_group(toy, sgd):
    calls = []

    class Counting(toy):
        def after_step(self, batch, step):
            calls.append((len(batch[0]), step))

    quietly(Counting(), torch.zeros(10, 2), batch_size=4, accumulate=2, max_epochs=2, optimizer=sgd(0.1))
    assert calls == [(4, 0), (2, 1), (4, 2), (2, 3)]


def test_clip_bounds_the_step_of_gradient_descent(toy, sgd):
    far = torch.full((4, 2), 100.0)
    for clip, norm in ((0.5, 0.5), (1e6, 100 * math.sqrt(2))):
        model = toy()
        quietly(model, far, optimizer=sgd(1.0), clip=clip, batch_size=4)
        assert model.loc.norm().item() == pytest.approx(norm, rel=1e-4)


def test_clip_comes_after_accumulation(toy, sgd):
    """The norm of the averaged gradient is clipped, as it would be with the larger batch."""
    x = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 0.4], [0.0, 0.4]])
    model = toy()
    quietly(model, x, optimizer=sgd(1.0), clip=0.5, batch_size=1, accumulate=4)
    torch.testing.assert_close(model.loc.detach(), torch.tensor([0.0, 0.2]), rtol=1e-5, atol=1e-6)


# --- schedules -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "rate"),
    [
        ("cosine", lambda part: 0.5 * (1 + math.cos(math.pi * part))),
        ("linear", lambda part: 1 - part),
        (None, lambda part: 1.0),
    ],
)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_schedules_end_with_the_training(toy, schedule, rate, accumulate):
    """Three batches in each epoch; in groups of two, two steps."""
    x = torch.zeros(6, 2)
    options = {"schedule": schedule, "lr": 0.1, "batch_size": 2, "accumulate": accumulate, "max_epochs": 4}
    history = quietly(toy(), x, **options).history
    assert [row["learning_rate"] for row in history] == pytest.approx([0.1 * rate(k / 4) for k in (1, 2, 3, 4)])


def test_own_schedule_is_given_the_number_of_steps(toy):
    asked = []

    def halving(optimizer, num_steps):
        asked.append(num_steps)
        return torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    history = quietly(toy(), torch.zeros(6, 2), schedule=halving, lr=1.0, batch_size=2, max_epochs=2).history
    assert asked == [6]
    assert [row["learning_rate"] for row in history] == [2.0**-3, 2.0**-6]


# --- several updates -------------------------------------------------------------------------------------------------


class Duel(PyroModule):
    """Two players with one product between them, each with an optimiser of its own."""

    def __init__(self):
        super().__init__()
        self.mine = nn.Parameter(torch.tensor(1.0))
        self.other = nn.Parameter(torch.tensor(2.0))
        self.needed, self.steps = [], []

    @pyro_method
    def model(self, x):
        with pyro.plate("data", len(x)):
            pyro.sample("x", dist.Normal(self.mine, 1.0).expand([1]).to_event(1), obs=x)

    @pyro_method
    def guide(self, x):
        pass

    def objective(self):
        return Trace_ELBO()

    def updates(self):
        return [Update("first", [self.mine], self.first), Update("second", [self.other], self.second)]

    def first(self, batch):
        self.needed.append(("first", self.mine.requires_grad, self.other.requires_grad))
        loss = self.mine * self.other
        return loss, {"product": loss.detach()}

    def second(self, batch):
        self.needed.append(("second", self.mine.requires_grad, self.other.requires_grad))
        return -self.mine * self.other

    def after_step(self, batch, step):
        self.steps.append((step, self.mine.item(), self.other.item()))


def test_updates_are_made_in_order_and_move_only_their_own(sgd):
    duel = Duel()
    result = quietly(duel, torch.zeros(4, 1), batch_size=2, optimizer=sgd(0.1))
    # first: mine -= 0.1 other, then second: other += 0.1 mine, at the new value
    mine, other, steps = 1.0, 2.0, []
    for step in range(2):
        mine -= 0.1 * other
        other += 0.1 * mine
        steps.append((step, pytest.approx(mine), pytest.approx(other)))
    assert duel.steps == steps
    assert duel.needed == 2 * [("first", True, False), ("second", False, True)]
    assert len(result.trainer.optimizers) == 2
    assert {"train/first", "train/second", "train/product"} <= result.history[0].keys()
    assert duel.mine.requires_grad
    assert duel.other.requires_grad


def test_each_update_is_clipped_by_itself(sgd):
    duel = Duel()
    quietly(duel, torch.zeros(2, 1), optimizer=sgd(1.0), clip=0.25)
    assert duel.mine.item() == pytest.approx(0.75, rel=1e-4)
    assert duel.other.item() == pytest.approx(2.25, rel=1e-4)


def test_gradients_are_needed_again_after_an_error(sgd):
    class Broken(Duel):
        def second(self, batch):
            raise RuntimeError("broken")

    duel = Broken()
    with pytest.raises(RuntimeError, match="broken"):
        quietly(duel, torch.zeros(2, 1), optimizer=sgd(0.1))
    assert duel.mine.requires_grad
    assert duel.other.requires_grad


def test_warmup_is_refused_where_it_would_do_nothing(toy):
    with pytest.raises(ValueError, match="warmup: Duel makes its own updates"):
        quietly(Duel(), torch.zeros(2, 1), warmup=LinearWarmup(steps=1))

    class Silent(toy):
        def objective(self):
            objective = super().objective()
            objective.divergences = {}
            return objective

    with pytest.raises(ValueError, match=r"warmup\.sites: the objective names no site"):
        quietly(Silent(), torch.zeros(2, 2), warmup=LinearWarmup(steps=1))


# --- losses that are not finite --------------------------------------------------------------------------------------


class Poison(Callback):
    """Plants a NaN in a parameter before a step."""

    def __init__(self, name, step):
        self.name, self.at = name, step

    def on_train_batch_start(self, trainer, module, batch, batch_index):
        if module.step == self.at:
            with torch.no_grad():
                dict(module.model.named_parameters())[self.name].fill_(torch.nan)


def gmvae():
    network = {"kind": "mlp", "hidden_dims": [8]}
    return GMVAE((4,), 2, 3, 2, "normal", encoder=network, decoder=network, prior_network=network)


def test_names_term_site_step_and_keeps_the_checkpoint(tmp_path):
    model = gmvae()
    with pytest.raises(TrainingDiverged) as error:
        quietly(
            model,
            torch.randn(20, 4),
            batch_size=5,
            max_epochs=5,
            out=tmp_path,
            callbacks=Poison("decoder.layers.0.weight", 6),
        )
    message = str(error.value)
    assert "at step 6 (epoch 1, batch 2)" in message
    assert "reconstruction (site 'x') is nan" in message
    assert "w_prior" not in message
    assert "\n" not in message
    state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert all(value.isfinite().all() for value in state.values())
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 2


def test_term_of_a_latent_site():
    with pytest.raises(TrainingDiverged, match=r"w_prior \(site 'w'\) is nan"):
        quietly(gmvae(), torch.randn(20, 4), batch_size=10, callbacks=Poison("encoder.layers.0.weight", 1))


@pytest.mark.filterwarnings("ignore:Encountered NaN")
def test_stock_elbo_without_terms(toy):
    with pytest.raises(TrainingDiverged, match=r"the loss is nan at step 1 \(epoch 0, batch 1\): .* finite: shift$"):
        quietly(toy(), torch.randn(20, 2), batch_size=10, objective=Trace_ELBO(), callbacks=Poison("shift", 1))


class Cliff(Duel):
    """A finite loss whose gradient is infinite."""

    def updates(self):
        return []

    def objective(self):
        class Root:
            def differentiable_loss(self, model, guide, x):
                own = model.__self__.mine
                return (own - own.detach()).sqrt() + 1.0

        return Root()


def test_a_gradient_that_is_not_finite_does_not_reach_the_checkpoint(tmp_path, sgd):
    """The loss of the epoch's last step is finite, the parameters after it are not."""
    with pytest.raises(TrainingDiverged, match=r"not finite after step 0 .*: mine"):
        quietly(Cliff(), torch.zeros(2, 1), optimizer=sgd(0.1), out=tmp_path)
    assert not list(tmp_path.glob("checkpoints/*"))


def test_parameters_are_not_moved_by_a_loss_that_is_not_finite(toy, sgd):
    class Infinite(toy):
        @pyro_method
        def model(self, x, y=None):
            with pyro.plate("data", len(x)):
                pyro.sample("z", dist.Normal(x.new_zeros(()), 1.0))
                pyro.sample("x", dist.Normal(self.loc, 1e-30, validate_args=False).to_event(1), obs=x)

    model = Infinite()
    with pytest.raises(TrainingDiverged, match=r"x \(site 'x'\) is inf"):
        quietly(model, torch.ones(4, 2), optimizer=sgd(0.1))
    assert torch.equal(model.loc.detach(), torch.zeros(2))
