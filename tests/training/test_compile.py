"""Training with a compiled objective."""

from __future__ import annotations

from typing import Any

import pyro
import pytest
import torch
from torch import Tensor, nn

import pyro_mixvae.training.module as training_module
from pyro_mixvae.infer import compiled
from pyro_mixvae.infer.update import Update
from pyro_mixvae.models import GMVAE
from pyro_mixvae.training import LinearWarmup, fit


def trained(**options: Any) -> tuple[list[dict[str, float]], dict[str, Tensor]]:
    torch.manual_seed(0)
    network = {"kind": "mlp", "hidden_dims": [8], "batch_norm": True}
    model = GMVAE((6,), 3, 5, 2, encoder=network, decoder=network)
    x = torch.rand(50, 6)
    warmup = LinearWarmup(epochs=2, sites=["z"])
    result = fit(model, x, max_epochs=4, batch_size=16, warmup=warmup, seed=1, progress=False, **options)
    return result.history, model.state_dict()


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Have ``fit`` replay graphs without compiling them, and keep what it makes."""
    made: list[Any] = []

    def eagerly_backed(loss: nn.Module, fallback: bool) -> nn.Module:
        made.append(compiled(loss, fallback, backend="eager"))
        return made[-1]

    monkeypatch.setattr(training_module, "compiled", eagerly_backed)
    return made


@pytest.mark.parametrize("accumulate", [1, 2])
def test_training_is_the_same(accumulate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = recorded(monkeypatch)
    history, state = trained(accumulate=accumulate)
    assert not made
    other_history, other_state = trained(accumulate=accumulate, compile=True)
    # one graph for batches of 16; the last batch of 2 is eager
    assert [loss.num_graphs for loss in made] == [1]
    assert [list(row) for row in other_history] == [list(row) for row in history]
    for row, other in zip(history, other_history, strict=True):
        assert other == pytest.approx(row, rel=1e-4)
    for name, value in state.items():
        torch.testing.assert_close(other_state[name], value, rtol=1e-3, atol=1e-4)


class Adversaries(nn.Module):
    """Two updates, each of which must leave the other's parameters alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 1), nn.Linear(6, 1)

    def model(self, x: Tensor) -> None: ...

    def guide(self, x: Tensor) -> None: ...

    def objective(self) -> Any:
        return pyro.infer.Trace_ELBO()

    def updates(self) -> list[Update]:
        return [
            Update("first", list(self.first.parameters()), lambda batch: self._game(*batch)),
            Update("second", list(self.second.parameters()), lambda batch: -self._game(*batch)),
        ]

    def _game(self, x: Tensor) -> Tensor:
        return (self.first(x) * self.second(x)).mean() + self.first(x).square().mean() - self.second(x).square().mean()


def test_every_update_has_a_graph_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    made = recorded(monkeypatch)
    states = []
    for compile in (False, True):
        torch.manual_seed(0)
        model = Adversaries()
        fit(model, torch.rand(40, 6), max_epochs=3, batch_size=10, seed=1, progress=False, compile=compile)
        states.append(model.state_dict())
    assert [loss.num_graphs for loss in made] == [1, 1]
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value)


@pytest.mark.compile
def test_training_with_the_compiler() -> None:
    history, _ = trained(compile=True)
    assert history[-1]["train/loss"] < history[0]["train/loss"] + 1
