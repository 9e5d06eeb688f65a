"""What one does with an MVAE: Pyro's tools, shapes, pruning, files, and what is refused."""

from __future__ import annotations

import copy

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Predictive, Trace_ELBO

import pyro_mixvae
from pyro_mixvae.models import MVAE
from pyro_mixvae.training import fit
from tests.models.mvae_by_hand import tiny_data, tiny_mvae

CONV = {
    "encoder": {"kind": "conv", "layers": [[4, 2], [6, 2]]},
    "mixed_shape": (5, 2, 2),
    "decoder": {"kind": "upsampling", "layers": [[4, 2], [3, 2]]},
}


def small(event_shape=(1, 8, 8), **options) -> MVAE:
    settings = {"latent_dim": 2, "num_components": 3, "encoder": {"kind": "mlp", "hidden_dims": [16]}}
    settings |= {"mixed_shape": (12,), "decoder": {"kind": "mlp", "hidden_dims": [16]}}
    return MVAE(event_shape, **(settings | options))


@pytest.mark.parametrize("options", [{}, CONV, {**CONV, "num_classes": 3}], ids=["mlp", "conv", "conv with labels"])
def test_shapes(options):
    model, x = small(**options), torch.rand(7, 1, 8, 8)
    y = torch.tensor([0, 1, 2, -1, 0, 1, 2]) if "num_classes" in options else None
    posterior = model.encode(x, y)
    assert posterior["z"].batch_shape == (7, 3) and posterior["z"].event_shape == (2,)
    assert posterior["w"].batch_shape == (7,) and posterior["w"].event_shape == (3,)
    assert model.reconstruct(x, y).shape == x.shape
    assert model.sample(5).shape == model.sample(5, component=2).shape == (5, 1, 8, 8)
    assert model.decode(torch.randn(4, 7, 3, 2), y=y).batch_shape == (4, 7)
    assert model.log_likelihood(x, 3).shape == (7,)
    assert all(term.shape in ((7,), ()) for term in model.terms(x, y).values())


@pytest.mark.parametrize("event_shape", [(4,), (1, 8, 8)], ids=["vectors", "images"])
def test_pyros_own_training_moves_each_model_only(event_shape, no_global_parameters):
    x = torch.rand(12, *event_shape)
    models = [small(event_shape, dropout="gaussian"), small(event_shape, dropout="gaussian")]
    models.append(copy.deepcopy(models[0]))
    for model in models:
        before = [{name: p.detach().clone() for name, p in m.named_parameters()} for m in models]
        svi = SVI(model.model, model.guide, pyro.optim.Adam({"lr": 1e-2}), Trace_ELBO(max_plate_nesting=2))
        svi.step(x)
        for other, old in zip(models, before, strict=True):
            moved = [name for name, p in other.named_parameters() if not torch.equal(p, old[name])]
            assert set(moved) == (set(old) if other is model else set())


def test_predictive_draws_every_site():
    model, x = small(dropout="gumbel").train(), torch.rand(6, 1, 8, 8)
    drawn = Predictive(poutine.uncondition(model.model), num_samples=4)(x)
    assert drawn["w"].shape == (4, 1, 6, 3) or drawn["w"].shape == (4, 6, 3)
    assert drawn["z"].shape == (4, 3, 6, 2) and drawn["m"].shape == (4, 3, 6) and drawn["x"].shape[-4:] == (6, 1, 8, 8)
    both = Predictive(model.model, guide=model.guide, num_samples=4, parallel=True)(x)
    assert both["z"].shape == (4, 3, 6, 2)


@pytest.mark.parametrize("dropout", ["none", "gaussian", "gumbel"])
def test_predictive_one_draw_after_the_other(dropout):
    """Pyro's default; the guide's draws come with a dimension in front that the codes lack."""
    model, x = small(dropout=dropout).train(), torch.rand(6, 1, 8, 8)
    drawn = Predictive(model.model, guide=model.guide, num_samples=4, return_sites=["x"])(x)
    assert drawn["x"].shape[-4:] == (6, 1, 8, 8) and len(drawn["x"]) == 4


def test_sites_can_be_conditioned_upon():
    model, x = small().eval(), torch.rand(6, 1, 8, 8)
    z = torch.zeros(3, 6, 2)
    trace = poutine.trace(poutine.condition(model.model, {"z": z, "w": torch.full((6, 3), 1 / 3)})).get_trace(x)
    torch.testing.assert_close(trace.nodes["x"]["fn"].mean, model.decode(torch.zeros(6, 3, 2)).mean)


def test_masks_are_drawn_in_training_only():
    model, x = small(dropout="gaussian"), torch.rand(6, 1, 8, 8)
    assert "m" in poutine.trace(model.train().guide).get_trace(x).nodes
    assert "m" not in poutine.trace(model.eval().guide).get_trace(x).nodes
    torch.testing.assert_close(model.reconstruct(x), model.reconstruct(x))


def switched_off(**options) -> MVAE:
    """A model whose components 1 and 3 of 5 are off."""
    model = tiny_mvae(5, dropout="gaussian", per_component=True, **options)
    with torch.no_grad():
        model.masks.logit.copy_(torch.tensor([-1.0, 4.0, 0.0, 5.0, 1.0]))
    return model.eval()


@pytest.mark.parametrize("options", [{}, {"num_classes": 3}], ids=["plain", "labels"])
def test_pruning_keeps_outputs(options):
    model, x = switched_off(**options), tiny_data()
    y = torch.arange(8) % 3 if options else None
    pruned = model.prune()
    assert pruned.num_components == 3 and model.num_components == 5
    torch.testing.assert_close(pruned.reconstruct(x, y), model.reconstruct(x, y))
    for new, old in enumerate([0, 2, 4]):
        torch.testing.assert_close(pruned.encode(x, y)["z"].mean[:, new], model.encode(x, y)["z"].mean[:, old])
        z = torch.randn(6, 5, 2, dtype=torch.float64)
        views = pruned.decode(z[:, [0, 2, 4]], pruned.only(new)).mean, model.decode(z, model.only(old)).mean
        torch.testing.assert_close(*views)
    assert sum(p.numel() for p in pruned.parameters()) < sum(p.numel() for p in model.parameters())


def test_a_pruned_model_trains_saves_and_generates(tmp_path):
    pruned = switched_off().float().prune()
    x = tiny_data(30).float()
    before = {name: p.detach().clone() for name, p in pruned.named_parameters()}
    fit(pruned, x, max_epochs=1, batch_size=10, seed=0, progress=False)
    assert all(not torch.equal(p, before[name]) for name, p in pruned.named_parameters())
    again = pyro_mixvae.load(pyro_mixvae.save(pruned, tmp_path / "model"))
    torch.testing.assert_close(again.reconstruct(x), pruned.reconstruct(x))
    assert again.masks.rates.tolist() == pruned.masks.rates.tolist()
    assert pruned.sample(4).shape == (4, 2, 3)


def test_pruning_to_one_component_drops_dhsic():
    pruned = switched_off().prune([2])
    assert pruned.beta == 0 and pruned.config["num_components"] == 1
    assert "dhsic" not in pruned.terms(tiny_data())


def test_pruned_in_the_distribution_too():
    """Over the rest, the quotient of Dirichlet weights is Dirichlet: means of 100,000 draws, 4.5 standard errors."""
    model, x = switched_off(), tiny_data(1)
    pruned = model.prune()
    w = model.masks.weights(model.encode(x)["w"].sample((100_000,)))[:, 0, [0, 2, 4]]
    other = pruned.encode(x)["w"]
    for found, expected in ((w.mean(0), other.mean[0]), (w.var(0), other.variance[0])):
        assert ((found - expected).abs() < 4.5 * 0.5 / 100_000**0.5).all()


def test_files_hold_every_setting(tmp_path):
    model = small(
        **CONV, num_classes=4, dropout="gumbel", beta=2.0, kl_weight=0.5, bandwidth=1.5, prior_concentration=2.0
    )
    again = pyro_mixvae.load(pyro_mixvae.save(model, tmp_path / "model"))
    assert again.config == model.config
    x, y = torch.rand(6, 1, 8, 8), torch.arange(6) % 4
    torch.testing.assert_close(again.reconstruct(x, y), model.reconstruct(x, y))


def test_own_networks():
    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 3 * 5)

        def forward(self, x):
            return self.layer(x).unflatten(-1, (3, 5))

    model, x = (
        small(
            (4,), encoder=Encoder(), decoder=torch.nn.Sequential(torch.nn.Linear(12, 4), torch.nn.Unflatten(-1, (1, 4)))
        ),
        torch.rand(6, 4),
    )
    assert model.reconstruct(x).shape == (6, 4)
    with pytest.raises(ValueError, match=r"encoder: Encoder has no select\(components\)"):
        model.prune([0, 1])


def test_every_epoch_reports_the_selection():
    model = small((4,), dropout="gaussian", per_component=True)
    rows = fit(model, torch.rand(23, 4), max_epochs=2, batch_size=10, seed=0, progress=False).history
    for row in rows:
        assert row["selected_components"] == 3 and 0 < row["dropout_rate_2"] < 1
        assert row["batches_without_dhsic"] == 1  # the last three of 23
        assert row["train/dhsic"] > 0 and "train/m" not in row


def test_a_held_rate_stays_through_training_and_saving(tmp_path):
    model = small((4,), dropout="gumbel", dropout_rate=0.274, learn_dropout=False)
    rows = fit(model, torch.rand(20, 4), max_epochs=2, batch_size=10, seed=0, progress=False).history
    assert [row["dropout_rate"] for row in rows] == pytest.approx([0.274] * 2, rel=1e-6)
    again = pyro_mixvae.load(pyro_mixvae.save(model, tmp_path / "model"))
    assert not again.learn_dropout and again.masks.rates == model.masks.rates
    assert "masks.logit" not in dict(again.named_parameters())


def test_surplus_components_fall_silent_when_nothing_needs_them():
    """Data that are constant: the cost of the masks alone raises every rate, and all but the best are switched off."""
    model, x = small((4,), dropout="gaussian", per_component=True, dropout_rate=0.9, beta=0.0), torch.full((40, 4), 0.5)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    loss = model.objective()(model.model, model.guide)
    for _ in range(60):
        optimizer.zero_grad()
        (loss(x) / 40).backward()
        optimizer.step()
    assert model.masks.selected() == 1
    assert model.prune().num_components == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_components": 1}, "beta: dHSIC needs 2 components or more, got 1 with 1; use beta 0"),
        ({"beta": -1.0}, "beta: expected a finite number >= 0, got -1"),
        ({"num_components": 0}, "num_components: expected integers >= 1, got 0"),
        ({"latent_dim": 0}, "latent_dim: expected"),
        ({"num_classes": 0}, "num_classes: expected"),
        ({"mixed_shape": ()}, "mixed_shape: expected integers >= 1"),
        ({"kl_weight": "K"}, "kl_weight: expected a finite number > 0 or \"1/K\", got 'K'"),
        ({"kl_weight": 0.0}, "kl_weight: expected a finite number > 0, got 0"),
        ({"bandwidth": -1.0}, "bandwidth: expected a finite number > 0, got -1"),
        ({"prior_concentration": 0.0}, "prior_concentration: expected a finite number > 0"),
        ({"dropout": "gaussian", "dropout_rate": 0.7}, r"dropout_rate: expected a rate in \(0, 0.5\]"),
        ({"encoder": {"kind": "conv", "layers": [[4, 2]] * 4}}, "encoder: layers: .* multiples of 16, such as 16 x 16"),
        ({**CONV, "mixed_shape": (5, 3, 3)}, "decoder: layers: .* 2 x 2 features would lead there"),
        ({"sub_activation": "swish"}, "activation: expected one of"),
    ],
)
def test_bad_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.sample(0), "n: expected an integer >= 1, got 0"),
        (lambda m: m.sample(2, component=3), r"component: expected 0..2, got 3"),
        (lambda m: m.prune([0, 0]), r"components: expected different numbers in 0..2, got \[0, 0\]"),
        (lambda m: m.prune([]), r"components: .* got \[\]"),
        (lambda m: m.reconstruct(torch.rand(2, 8, 8)), r"x: expected shape \[B, 1, 8, 8\]"),
        (lambda m: m.check(torch.rand(2, 1, 8, 8), torch.tensor([0, 5])), r"y: expected labels in -1..3"),
        (
            lambda m: fit(m, torch.rand(20, 1, 8, 8), max_epochs=1, batch_size=4, progress=False),
            "batch_size: dHSIC of 3",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(small(num_classes=4))
