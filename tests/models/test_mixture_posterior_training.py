"""Two updates in one step: gradients at the old parameters on one x', each leaving the other's network alone."""

from __future__ import annotations

import copy

import pytest
import torch
from lightning.pytorch import Callback
from torch import Tensor

import pyro_mixvae.training.module as training_module
from pyro_mixvae.data import load
from pyro_mixvae.infer import KL, TraceDivergence_ELBO, Update, compiled
from pyro_mixvae.models import MixturePosteriorVAE
from pyro_mixvae.training import LinearWarmup, fit
from tests.infer.pairs import standard_normal_draws
from tests.models.mpvae_by_hand import discriminator_loss, generator_losses, small

RATE = 1e-4


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=RATE)


def train(vae, x, **options):
    return fit(vae, x, seed=0, progress=False, accelerator="cpu", **{"max_epochs": 1, "optimizer": sgd, **options})


def states_of(vae) -> list[dict[str, Tensor]]:
    """Copies of the weights and running statistics of encoder, decoder and discriminator."""
    return [copy.deepcopy(part.state_dict()) for part in (vae.encoder, vae.decoder, vae.discriminator)]


def same(first, second) -> bool:
    return all(torch.equal(value, second[name]) for name, value in first.items())


# --- one step by hand ------------------------------------------------------------------------------------------------


def stepped_by_hand(vae, batches, noise):
    """Both networks' parameters after one step of gradient descent on the mean over batches, all at the old ones."""
    generator = [*vae.encoder.parameters(), *vae.decoder.parameters()]
    discriminator = [*vae.discriminator.parameters()]
    for parameter in discriminator:
        parameter.requires_grad_(True)
    num_data = sum(map(len, batches))
    moves = [torch.zeros_like(parameter) for parameter in (*generator, *discriminator)]
    for x, one in zip(batches, noise, strict=True):
        terms, generated = generator_losses(vae, x, one)
        gradients = [
            *torch.autograd.grad(sum(terms.values()), generator),
            *torch.autograd.grad(discriminator_loss(vae, x, generated), discriminator),
        ]
        for move, gradient in zip(moves, gradients, strict=True):
            move += len(x) / num_data * gradient
    return [(p - RATE * move).detach() for p, move in zip((*generator, *discriminator), moves, strict=True)]


def parameters_of(vae):
    return [*vae.encoder.parameters(), *vae.decoder.parameters(), *vae.discriminator.parameters()]


def test_a_step_by_hand():
    """The discriminator's gradient is of the x' from before the generator's step, and at its own old weights."""
    vae = small().double()
    x, noise = torch.rand(6, 1, 8, 8).double(), torch.randn(6, 3).double()
    before = copy.deepcopy(vae)
    with standard_normal_draws(noise):
        train(vae, x, batch_size=6, callbacks=[seen := Seen()])
    expected = stepped_by_hand(before, seen.batches, [noise])
    for parameter, by_hand in zip(parameters_of(vae), expected, strict=True):
        torch.testing.assert_close(parameter.detach(), by_hand, rtol=1e-9, atol=1e-12)


class Seen(Callback):
    """The batches in the order in which they came."""

    def __init__(self):
        self.batches = []

    def on_train_batch_start(self, trainer, module, batch, batch_index):
        self.batches.append(batch[0].clone())


def test_accumulated_batches_of_different_sizes():
    """Batches of 4, 4 and 2: one step, along the mean gradient over their 10 data, for both networks."""
    vae, seen = small().double(), Seen()
    noise = [torch.randn(size, 3).double() for size in (4, 4, 2)]
    before = copy.deepcopy(vae)
    with standard_normal_draws(*noise):
        train(vae, torch.rand(10, 1, 8, 8).double(), batch_size=4, accumulate=3, callbacks=[seen])
    expected = stepped_by_hand(before, seen.batches, noise)
    for parameter, by_hand in zip(parameters_of(vae), expected, strict=True):
        torch.testing.assert_close(parameter.detach(), by_hand, rtol=1e-9, atol=1e-12)


def test_clipping_holds_for_each_update_by_itself():
    vae = small()
    before = copy.deepcopy(vae)
    train(vae, torch.rand(6, 1, 8, 8), clip=0.5, optimizer=lambda p: torch.optim.SGD(p, lr=1.0))
    count = len([*vae.encoder.parameters(), *vae.decoder.parameters()])
    moves = [after - old for after, old in zip(parameters_of(vae), parameters_of(before), strict=True)]
    for part in (moves[:count], moves[count:]):
        norm = torch.stack([move.detach().norm() for move in part]).norm()
        assert norm.item() == pytest.approx(0.5, rel=1e-3)


# --- neither network is moved by the other's update ------------------------------------------------------------------


class Watched(MixturePosteriorVAE):
    """Looks at both networks whenever one of the losses is about to be taken."""

    def updates(self):
        self.looks = []

        def looking(update):
            def loss(batch):
                self.looks.append((update.name, *states_of(self)))
                return update.loss(batch)

            return Update(update.name, update.parameters, loss)

        return [looking(update) for update in super().updates()]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_neither_update_touches_the_other_s_weights_or_statistics(accumulate):
    config = small(dropout=0.25).config
    vae = Watched(**config)
    train(vae, torch.rand(24, 1, 8, 8), batch_size=6, max_epochs=2, accumulate=accumulate, optimizer=None)
    vae.looks.append(("end", *states_of(vae)))
    assert [look[0] for look in vae.looks] == ["generator", "discriminator"] * 8 + ["end"]
    moved = {"generator": 0, "discriminator": 0}
    for (name, *before), (_, *after) in zip(vae.looks, vae.looks[1:], strict=False):
        same_parts = [same(first, second) for first, second in zip(before, after, strict=True)]
        if name == "generator":
            assert same_parts[2]
            assert not same_parts[0]
            assert not same_parts[1]
        else:
            assert same_parts[0]
            assert same_parts[1]
            assert not same_parts[2]
        moved[name] += 1
    assert moved == {"generator": 8, "discriminator": 8}
    assert not any(parameter.requires_grad for parameter in vae.discriminator.parameters())


def test_the_discriminator_s_loss_falls_when_the_generator_is_frozen():
    """From about 2 beta4 log 2 = 139, that of a coin, to less than two thirds of it."""
    vae = small(channels=8)
    generator = {id(parameter) for parameter in (*vae.encoder.parameters(), *vae.decoder.parameters())}
    before = [p.clone() for p in (*vae.encoder.parameters(), *vae.decoder.parameters())]

    def optimizer(parameters):
        parameters = list(parameters)
        return torch.optim.Adam(parameters, lr=0.0 if id(parameters[0]) in generator else 5e-3)

    history = train(vae, load("digits").train.x[:200], batch_size=50, max_epochs=10, optimizer=optimizer).history
    losses = [row["train/discriminator"] for row in history]
    assert losses[0] == pytest.approx(139, abs=20)
    assert losses[-1] < 93
    frozen = (*vae.encoder.parameters(), *vae.decoder.parameters())
    assert all(torch.equal(p, old) for p, old in zip(frozen, before, strict=True))


def test_the_loss_of_the_discriminator_needs_the_generator_s():
    _, discriminator = small().updates()
    with pytest.raises(RuntimeError, match="needs the x' of the generator's"):
        discriminator.loss((torch.rand(2, 1, 8, 8),))


def test_terms_in_the_history():
    row = train(small(), load("digits").train.x[:100], batch_size=50).history[0]
    terms = ["reconstruction", "aggregate_kl", "individual_kl", "adversary"]
    assert row["train/generator"] == pytest.approx(sum(row[f"train/{name}"] for name in terms), rel=1e-5)
    parts = row["train/discriminator_real"] + row["train/discriminator_generated"]
    assert row["train/discriminator"] == pytest.approx(parts, rel=1e-5)
    alone = train(small(adversarial=False), load("digits").train.x[:100], batch_size=50).history[0]
    assert {f"train/{name}" for name in ["loss", *terms[:3]]} <= alone.keys()


# --- precision, objectives, checkpoints ------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:precision. bf16-mixed saves no time")
def test_mixed_precision():
    """bf16 networks, and everything after them in float32; the first epoch's losses within 3 % of float32's."""
    x = load("digits").train.x[:200]
    rows = {}
    for precision in ("32-true", "bf16-mixed"):
        torch.manual_seed(0)
        vae, types = small(channels=8), set()
        vae.discriminator.layers[-1].register_forward_hook(lambda m, i, o, types=types: types.add(o.dtype))
        rows[precision] = train(vae, x, batch_size=50, precision=precision, clip=100.0).history[0]
        assert types == {torch.float32 if precision == "32-true" else torch.bfloat16}
    for name in ("generator", "discriminator"):
        full, half = (row[f"train/{name}"] for row in rows.values())
        assert half == pytest.approx(full, rel=0.03)
    with torch.autocast("cpu", torch.bfloat16):
        posterior = vae.encode(x[:2])
        assert posterior.base_dist.scale.dtype == vae.decode(posterior.mean).mean.dtype == torch.float32
        assert vae.cross_entropy(x[:2], real=True).dtype == torch.float32


def test_the_standard_vae_beside_it():
    """The same networks under the ordinary KL; an objective is refused where the model makes its own updates."""
    standard = TraceDivergence_ELBO({"z": KL()}, max_plate_nesting=1)
    x = load("digits").train.x[:100]
    row = train(small(adversarial=False), x, objective=standard, warmup=LinearWarmup(epochs=1)).history[0]
    assert {"train/reconstruction", "train/z"} <= row.keys()
    with pytest.raises(ValueError, match="objective: MixturePosteriorVAE makes its own updates"):
        train(small(), x, objective=standard)
    with pytest.raises(ValueError, match="warmup: MixturePosteriorVAE makes its own updates"):
        train(small(), x, warmup=LinearWarmup(epochs=1))


def test_a_checkpoint_holds_both_networks_and_both_optimizers(tmp_path):
    vae = small()
    train(vae, torch.rand(12, 1, 8, 8), batch_size=6, optimizer=None, out=tmp_path)
    kept = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    for name, value in vae.state_dict().items():
        assert torch.equal(kept["state_dict"][f"model.{name}"], value)
    generator, discriminator = kept["optimizer_states"]
    counts = len([*vae.encoder.parameters(), *vae.decoder.parameters()]), len([*vae.discriminator.parameters()])
    assert (len(generator["state"]), len(discriminator["state"])) == counts
    assert all(entry["step"] == 2 for part in (generator, discriminator) for entry in part["state"].values())


@pytest.mark.slow
def test_kl_i_keeps_the_variances_from_collapsing():
    """Mean posterior sigma on held-out digits: under KL_G alone it goes on falling, KL_I holds it up."""
    digits, sigma = load("digits", value_range=(-1, 1)), {}
    mlp = {"kind": "mlp", "hidden_dims": [64]}
    for beta2 in (0.0, 1.0):
        torch.manual_seed(0)
        vae = MixturePosteriorVAE((1, 8, 8), 16, mlp, mlp, adversarial=False, beta2=beta2)
        train(vae, digits, batch_size=50, max_epochs=40, optimizer=None)
        with torch.no_grad():
            sigma[beta2] = vae.encode(digits.test.x).base_dist.scale.mean().item()
    assert sigma[1.0] > 3 * sigma[0.0], sigma


@pytest.mark.parametrize("accumulate", [1, 2])
def test_compiled(accumulate, monkeypatch):
    """Each update's loss as one graph, the short last batch eager: the same history and the same networks.

    The graphs are replayed without being compiled, which takes minutes.
    """
    made = []

    def replayed(loss, fallback):
        made.append(compiled(loss, fallback, backend="eager"))
        return made[-1]

    monkeypatch.setattr(training_module, "compiled", replayed)
    x, histories, states = torch.rand(22, 1, 8, 8), [], []
    for compile_ in (False, True):
        torch.manual_seed(0)
        vae = small()
        options = {"batch_size": 6, "max_epochs": 3, "accumulate": accumulate, "compile": compile_}
        histories.append(train(vae, x, optimizer=None, **options).history)
        states.append(vae.state_dict())
    assert [loss.num_graphs for loss in made] == [1, 1]
    for row, other in zip(*histories, strict=True):
        assert other == pytest.approx(row, rel=1e-4)
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=1e-3, atol=1e-4)
