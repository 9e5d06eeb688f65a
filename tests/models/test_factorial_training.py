"""The factorial mixture inside fit: labels, phases, several processes."""

from __future__ import annotations

import copy

import pytest
import torch

from pyro_mixvae.training import LinearWarmup, fit, start_mixture
from pyro_mixvae.training.start import _means
from tests.models.factorial_by_hand import tiny_data, tiny_factorial


def labels() -> torch.Tensor:
    return torch.arange(60) % 4 - 1


def test_fit_moves_networks_and_posterior():
    model, x = tiny_factorial(), tiny_data(60)
    before = copy.deepcopy(model.state_dict())
    result = fit(model, x, max_epochs=3, batch_size=20, seed=0, progress=False)
    assert all(not torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert int(model.components[0].num_steps) == 9
    row = result.history[-1]
    parts = [f"train/{name}" for name in ("reconstruction", "kl_z", "kl_r", "kl_components", "kl_weights")]
    assert row["train/loss"] == pytest.approx(sum(row[part] for part in parts), rel=1e-5)


def test_the_logged_loss_is_per_datum():
    """Whatever the batches, the scale N / |B| of the plate is divided out."""
    model, x = tiny_factorial(), tiny_data(60)
    torch.manual_seed(0)
    expected = sum(term.mean() for term in model.terms(x).values()).item()
    result = fit(model, x, max_epochs=1, batch_size=60, lr=1e-12, seed=0, progress=False)
    assert result.history[0]["train/loss"] == pytest.approx(expected, rel=0.1)


def test_labelled_factors_follow_the_gradient_at_a_rate_of_their_own():
    model, x = tiny_factorial(labelled=[1], label_weight=5.0), tiny_data(60)
    assert [posterior.by_gradient for posterior in (*model.weights, *model.components)] == [False, True, False, True]
    (update,) = model.updates()
    assert [group.get("lr") for group in update.groups] == [None, 1e-3]
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    result = fit(model, (x, labels()), max_epochs=2, batch_size=20, lr=1e-4, seed=0, progress=False)
    assert "train/labels" in result.history[0]
    moved = {name: (parameter - before[name]).abs().max() for name, parameter in model.named_parameters()}
    of_q = [size for name, size in moved.items() if "parameters_of_q" in name]
    others = [size for name, size in moved.items() if "parameters_of_q" not in name]
    # six steps of Adam, each of about its learning rate
    assert max(others) < 1e-3 < max(of_q) < 1e-2
    assert int(model.components[0].num_steps) == 6


def test_back_to_natural_gradients():
    model, x = tiny_factorial(labelled=[1], label_weight=5.0), tiny_data(60)
    fit(model, (x, labels()), max_epochs=1, batch_size=20, seed=0, progress=False)
    before = model.components[1].distribution()
    model.label_weight = 0.0
    assert model.updates() == []
    after = model.components[1].distribution()
    torch.testing.assert_close(after.loc, before.loc)
    torch.testing.assert_close(after.rate, before.rate)
    assert len(model.natural_posteriors()) == 4
    fit(model, (x, labels()), max_epochs=1, batch_size=20, seed=0, progress=False)
    assert int(model.components[1].num_steps) == 3
    assert not torch.equal(model.components[1].distribution().loc, after.loc)


def test_warm_up_with_labels():
    model, x = tiny_factorial(labelled=[0], label_weight=5.0), tiny_data(60)
    warmup = LinearWarmup(epochs=1, start=20.0, end=1.0, sites=["z"])
    result = fit(model, (x, labels().clamp(max=1)), max_epochs=2, batch_size=60, warmup=warmup, progress=False, seed=0)
    assert [row["warmup"] for row in result.history] == [20.0, 1.0]


def test_batch_norm_sees_each_batch_once():
    network = {"kind": "mlp", "hidden_dims": [8], "batch_norm": True}
    model, x = tiny_factorial(), tiny_data(60)
    model.encoder = model._network("encoder", network, (4,), (8,))
    fit(model, x, max_epochs=2, batch_size=20, seed=0, progress=False)
    (norm,) = [part for part in model.encoder.modules() if isinstance(part, torch.nn.BatchNorm1d)]
    assert int(norm.num_batches_tracked) == 6


def test_phases():
    model, x = tiny_factorial(), tiny_data(60)
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    start_mixture(model, x, pretraining_epochs=1, seeding_epochs=2, batch_size=20, progress=False)
    assert torch.equal(torch.get_rng_state(), state)
    assert int(model.components[0].num_steps) == 6
    assert not torch.equal(model.encoder.layers[0].weight, before["encoder.layers.0.weight"])
    weights = model.encoder.layers[0].weight.clone()
    start_mixture(model, x, seeding_epochs=1, batch_size=20)
    assert torch.equal(model.encoder.layers[0].weight, weights)
    with pytest.raises(ValueError, match="seeding_epochs: expected an integer >= 0, got -1"):
        start_mixture(model, x, seeding_epochs=-1)
    with pytest.raises(ValueError, match="num_components: factor 0 has 2, more than the 1 data"):
        start_mixture(tiny_factorial(num_data=1), x[:1])


def test_components_start_apart_and_where_the_codes_are():
    model, x = tiny_factorial([6]), tiny_data(60)
    start_mixture(model, x)
    codes = model.encode(x)["z_0"].mean
    locs = model.components[0].distribution().loc * (61 / 6 + 0) / (61 / 6)
    distances = torch.cdist(locs.float(), codes.detach())
    assert torch.pdist(locs).min() > 0
    assert distances.min(1).values.max() < codes.std()


def test_vade_starts_from_a_mixture_fitted_to_the_codes():
    model, x = tiny_factorial([3], xi="parameters"), tiny_data(60)
    start_mixture(model, x, pretraining_epochs=1, batch_size=20, progress=False)
    codes = model.encode(x)["z_0"].mean
    mixed = model.weights[0].value() @ model.components[0].value()[..., 0]
    torch.testing.assert_close(mixed, codes.mean(0), rtol=1e-3, atol=1e-4)
    fit(model, x, max_epochs=1, batch_size=20, progress=False)


def test_data_in_the_order_of_their_classes(monkeypatch):
    """All of them may be looked at, not the first alone."""
    monkeypatch.setattr("pyro_mixvae.training.start.MAX_CODES", 30)
    model, x = tiny_factorial([2]), tiny_data(60)
    seen = []
    monkeypatch.setattr("pyro_mixvae.training.start._means", lambda model, x: seen.append(x) or _means(model, x))
    start_mixture(model, x)
    rows = [int((x == row).flatten(1).all(1).nonzero()[0]) for row in torch.cat(seen)]
    assert len(set(rows)) == 30
    assert max(rows) > 35
