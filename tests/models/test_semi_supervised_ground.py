"""The ground holds for the semi-supervised model: it compiles, resumes bit for bit, and trains in two processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule
from torch.nn.parallel import DistributedDataParallel

from pyro_mixvae.data import DataSet, Split
from pyro_mixvae.infer import compiled
from pyro_mixvae.training import LinearWarmup, fit
from tests.models.semi_supervised_by_hand import tiny

MIXTURE: dict[str, Any] = {"prior": "gaussian-mixture", "num_components": 4}
CASES: dict[str, tuple[dict[str, Any], torch.Tensor | None]] = {
    "mixed": (MIXTURE, torch.arange(10) % 4 - 1),
    "unlabelled": ({}, None),
    "M2, three particles": ({"divergence": "kl", "num_particles": 3}, torch.arange(10) % 4 - 1),
    "VampPrior": ({"prior": "vamp", "num_components": 4}, torch.arange(10) % 4 - 1),
    "yes or no": ({"num_labels": 2}, torch.arange(20).reshape(10, 2) % 3 - 1),
}


def assert_compiles(case: str, **how: Any) -> None:
    """Loss, terms and gradients at the same seed; other labels go through the same graph."""
    options, y = CASES[case]
    torch.manual_seed(0)
    model, x = tiny(**options), torch.rand(10, 6)
    eager = model.objective()(model.model, model.guide)
    graph = compiled(eager, **how)
    for labels in (y, None if y is None else y.roll(1, 0)):
        batch = (x,) if labels is None else (x, labels)
        graph(*batch)
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
    assert graph.num_graphs == 1


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[] if case == "mixed" else pytest.mark.slow) for case in CASES]
)
def test_the_captured_objective_is_the_eager_one(case):
    assert_compiles(case, backend="eager")


@pytest.mark.compile
def test_the_compiled_objective_is_the_eager_one():
    assert_compiles("mixed", options={"fallback_random": True})


def some_data(num_data: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    """A quarter of the data, interleaved, have a label."""
    x = torch.rand(num_data, 6, generator=torch.Generator().manual_seed(0))
    return x, torch.where(torch.arange(num_data) % 4 == 0, torch.arange(num_data) % 3, -1)


def trained(epochs: int, **how: Any) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    torch.manual_seed(0)
    model = tiny(**MIXTURE)
    options = {"batch_size": 12, "labelled_per_batch": 4, "balanced": True, "progress": False}
    result = fit(model, some_data(), max_epochs=epochs, warmup=LinearWarmup(epochs=3, sites=["z"]), **options, **how)
    return model.state_dict(), result.history


def test_a_resumed_training_is_the_same_bit_for_bit(tmp_path: Path):
    straight, history = trained(4, seed=1, out=tmp_path / "straight")
    trained(3, seed=1, out=tmp_path / "stopped")
    resumed, other = trained(4, resume=tmp_path / "stopped")
    assert other == history
    assert all(torch.equal(resumed[name], value) for name, value in straight.items())


def test_two_phases() -> None:
    """The first phase moves the autoencoder and its prior, and neither the classifier nor the labels' network."""
    model = tiny(**MIXTURE)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fit(model.pretraining(), some_data(), max_epochs=1, batch_size=20, seed=0, progress=False)
    moved = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"encoder", "posterior", "decoder", "prior"}


def test_validation_is_judged_at_lambda_one() -> None:
    model = tiny(**MIXTURE, scale=0.25)
    x, y = some_data(20)
    part = Split(x, y.clamp(min=0))
    data = DataSet("some", part, part, None, 3, ("a", "b", "c"), source="")
    history = fit(model, data, max_epochs=1, batch_size=20, seed=0, progress=False).history
    assert history[0]["validation/divergence"] > 3 * history[0]["train/divergence"]


def test_bad_input_to_fit() -> None:
    x, y = some_data()
    how = {"max_epochs": 1, "batch_size": 12, "progress": False}
    with pytest.raises(ValueError, match="y: expected labels for some of the training data, got no labels"):
        fit(tiny(), x, **how)
    with pytest.raises(ValueError, match="balanced: needs labelled_per_batch"):
        fit(tiny(), (x, y), balanced=True, **how)
    with pytest.raises(ValueError, match=r"labelled: got 12; allowed are 1\.\.11"):
        fit(tiny(), (x, y), labelled_per_batch=12, **how)
    with pytest.raises(ValueError, match="a LightningDataModule makes its own batches"):
        fit(tiny(), LightningDataModule(), labelled_per_batch=4, **how)
    with pytest.raises(ValueError, match=r"y: expected labels in -1\.\.2, got labels in -1\.\.5"):
        fit(tiny(), (x, torch.where(y == 1, 5, y)), **how)


def train_in_one_of_two(rank: int, folder: str) -> None:
    """One step of data-parallel training on parts with different numbers of labels."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    torch.manual_seed(0)
    model, (x, y) = tiny(**MIXTURE), joint_batch()
    parallel = DistributedDataParallel(model.objective()(model.model, model.guide))
    rows = slice(10 * rank, 10 * rank + 10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.distributions.normal._standard_normal", zeros)
        (parallel(x[rows], y[rows]) / 10).backward()
    torch.save({name: p.grad for name, p in model.named_parameters()}, f"{folder}/rank{rank}.pt")
    torch.distributed.destroy_process_group()


def zeros(shape: Any, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    return torch.zeros(shape, dtype=dtype, device=device)


def joint_batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Nine labels among the first ten data, two among the others."""
    y = torch.full((20,), -1)
    y[:9], y[10:12] = torch.arange(9) % 3, 1
    return torch.rand(20, 6, generator=torch.Generator().manual_seed(4)), y


@pytest.mark.distributed
def test_two_processes_take_the_means_of_the_joint_batch(tmp_path: Path):
    """However the labels are shared out, the gradient is that of one process with all the data."""
    torch.multiprocessing.start_processes(train_in_one_of_two, (str(tmp_path),), nprocs=2, start_method="fork")
    torch.manual_seed(0)
    model, (x, y) = tiny(**MIXTURE), joint_batch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.distributions.normal._standard_normal", zeros)
        (model.objective()(model.model, model.guide)(x, y) / 20).backward()
    for rank in range(2):
        gradients = torch.load(tmp_path / f"rank{rank}.pt", weights_only=True)
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-4, atol=1e-6)


class EqualInAllProcesses(Callback):
    """At the end every process has the first one's parameters."""

    def on_train_end(self, trainer, module):
        for value in module.model.state_dict().values():
            first = value.clone()
            torch.distributed.broadcast(first, 0)
            assert torch.equal(value, first)


@pytest.mark.distributed
def test_fit_trains_in_two_processes():
    torch.manual_seed(0)
    model = tiny(**MIXTURE)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    how = {"accelerator": "cpu", "devices": 2, "strategy": "ddp_fork", "callbacks": [EqualInAllProcesses()]}
    fit(model, some_data(), max_epochs=2, batch_size=9, labelled_per_batch=3, seed=0, progress=False, **how)
    assert all(not torch.equal(value, before[n]) for n, value in model.state_dict().items() if "logits" not in n)
