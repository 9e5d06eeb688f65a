"""The ground holds for the factorial mixture: it compiles and resumes bit for bit.

Two processes: tests/training/test_processes.py and tests/infer/test_conjugate_processes.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pyro_mixvae.infer import compiled
from pyro_mixvae.training import fit
from pyro_mixvae.training import module as training_module
from tests.models.factorial_by_hand import tiny_data, tiny_factorial

LABELS = torch.arange(60) % 4 - 1
CASES: dict[str, tuple[dict[str, Any], torch.Tensor | None]] = {
    "free": ({}, None),
    "three particles": ({"num_particles": 3}, None),
    "labels": ({"labelled": [1]}, LABELS),
    "weighted labels": ({"labelled": [1], "label_weight": 5.0}, LABELS),
    "parameters": ({"xi": "parameters", "num_components": [3]}, None),
}


def assert_compiles(case: str, **how: Any) -> None:
    """Loss, terms and gradients at the same seed, before and after q(xi) has moved."""
    options, y = CASES[case]
    torch.manual_seed(0)
    model = tiny_factorial(**options)
    batch = (tiny_data(60),) if y is None else (tiny_data(60), y)
    eager = model.objective()(model.model, model.guide)
    graph = compiled(eager, **how)
    graph(*batch)
    for _ in range(2):
        outcomes = []
        for objective in (eager, graph):
            model.zero_grad()
            torch.manual_seed(3)
            loss = objective(*batch)
            loss.backward()
            gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
            outcomes.append((loss.detach(), dict(objective.last_terms), gradients))
        (loss, terms, gradients), (other_loss, other_terms, other_gradients) = outcomes
        torch.testing.assert_close(other_loss, loss, rtol=1e-5, atol=0)
        assert terms.keys() == other_terms.keys()
        for name, gradient in gradients.items():
            assert (other_gradients[name] - gradient).norm() <= 1e-5 * gradient.norm() + 1e-5, name
        model.after_step(batch, 0)
    assert graph.num_graphs == 1


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[] if case == "weighted labels" else pytest.mark.slow) for case in CASES]
)
def test_the_captured_objective_is_the_eager_one(case):
    assert_compiles(case, backend="eager")


@pytest.mark.compile
def test_the_compiled_objective_is_the_eager_one():
    assert_compiles("free", options={"fallback_random": True})


def test_fit_compiles_it(monkeypatch):
    monkeypatch.setattr(training_module, "compiled", lambda loss, fallback: compiled(loss, backend="eager"))
    model, x = tiny_factorial(labelled=[1], label_weight=5.0), tiny_data(60)
    fit(model, (x, LABELS), max_epochs=2, batch_size=20, compile=True, seed=0, progress=False)
    assert int(model.components[0].num_steps) == 6


def trained(epochs: int, options: dict[str, Any], **how: Any) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    torch.manual_seed(0)
    model, x = tiny_factorial(labelled=[1], **options), tiny_data(60)
    result = fit(model, (x, LABELS), max_epochs=epochs, batch_size=25, progress=False, **how)
    return model.state_dict(), result.history


@pytest.mark.parametrize("options", [{}, {"label_weight": 5.0}], ids=["natural", "weighted labels"])
def test_a_resumed_training_is_the_same_bit_for_bit(tmp_path: Path, options):
    straight, history = trained(4, options, seed=1, out=tmp_path / "straight")
    trained(2, options, seed=1, out=tmp_path / "stopped")
    resumed, other = trained(4, options, resume=tmp_path / "stopped")
    assert other == history
    assert all(torch.equal(resumed[name], value) for name, value in straight.items())
