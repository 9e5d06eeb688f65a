"""The ground holds for the mixture-posterior VAE: it compiles, resumes bit for bit, and trains in two processes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback
from torch import distributed as processes

from pyro_mixvae.infer import compiled
from pyro_mixvae.models import MixturePosteriorVAE
from pyro_mixvae.training import fit
from tests.models.mpvae_by_hand import small

MLP = {"kind": "mlp", "hidden_dims": [8]}
ON_CPU = {"seed": 0, "progress": False, "accelerator": "cpu"}


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.05)


def assert_compiles(vae: MixturePosteriorVAE, x: torch.Tensor, **how) -> None:
    """Loss, terms and gradients at the same seed."""
    eager = vae.objective()(vae.model, vae.guide)
    graph = compiled(eager, **how)
    graph(x)
    outcomes = []
    for objective in (eager, graph):
        vae.zero_grad()
        torch.manual_seed(3)
        loss = objective(x)
        loss.backward()
        gradients = {name: p.grad.clone() for name, p in vae.named_parameters() if p.grad is not None}
        outcomes.append((loss.detach(), dict(objective.last_terms), gradients))
    (loss, terms, gradients), (other_loss, other_terms, other_gradients) = outcomes
    assert graph.num_graphs == 1
    torch.testing.assert_close(other_loss, loss, rtol=1e-5, atol=0)
    assert terms.keys() == other_terms.keys()
    for name, term in terms.items():
        torch.testing.assert_close(other_terms[name], term, rtol=1e-4, atol=1e-4)
    scale = max(gradient.norm() for gradient in gradients.values())
    assert gradients.keys() == other_gradients.keys()
    assert not any(name.startswith("discriminator") for name in gradients)
    for name, gradient in gradients.items():
        assert (other_gradients[name] - gradient).norm() <= 1e-5 * (gradient.norm() + scale), name


@pytest.mark.parametrize("adversarial", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_captured_objective_is_the_eager_one(adversarial):
    torch.manual_seed(0)
    assert_compiles(small(adversarial=adversarial, dropout=0.25), torch.rand(6, 1, 8, 8), backend="eager")


@pytest.mark.compile
def test_the_compiled_objective_is_the_eager_one():
    """Fully connected, which takes the compiler a third of the time that the residual networks take."""
    torch.manual_seed(0)
    vae = MixturePosteriorVAE((4,), 2, MLP, MLP, adversarial=False)
    assert_compiles(vae, torch.randn(6, 4), options={"fallback_random": True})


def trained(epochs: int, **how) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    torch.manual_seed(0)
    vae = small(dropout=0.25)
    result = fit(
        vae, torch.rand(20, 1, 8, 8), max_epochs=epochs, batch_size=8, progress=False, accelerator="cpu", **how
    )
    return vae.state_dict(), result.history


def test_a_resumed_training_is_the_same_bit_for_bit(tmp_path: Path):
    """Both networks, both optimisers, and the noise of codes and of dropout."""
    straight, history = trained(4, seed=1, out=tmp_path / "straight")
    trained(2, seed=1, out=tmp_path / "stopped")
    resumed, other = trained(4, resume=tmp_path / "stopped")
    assert other == history
    assert all(torch.equal(resumed[name], value) for name, value in straight.items())


# --- two processes ---------------------------------------------------------------------------------------------------


class EqualInAllProcesses(Callback):
    """Compares the model of each process with that of the first, and counts the steps."""

    def on_train_end(self, trainer, module):
        assert processes.get_world_size() == 2
        for name, parameter in module.model.named_parameters():
            first = parameter.detach().clone()
            processes.broadcast(first, 0)
            assert torch.equal(first, parameter), name
        assert module.step == 4


@pytest.mark.distributed
def test_two_processes_end_with_one_generator_and_one_discriminator():
    torch.manual_seed(0)
    vae = small()
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    how = {"devices": 2, "strategy": "ddp_fork", "callbacks": [EqualInAllProcesses()]}
    fit(vae, torch.rand(24, 1, 8, 8), max_epochs=2, batch_size=6, **ON_CPU, **how)
    assert all(not torch.equal(p, before[name]) for name, p in vae.named_parameters())


@pytest.mark.distributed
@pytest.mark.parametrize("moments", ["exact", "means"])
def test_two_processes_see_the_moments_of_the_joint_batch(moments):
    """With next to no weight on the data, the loss is KL_G + KL_I: two processes with batches of 6 do what one with
    batches of 12 does, gradients through the joint moments included."""
    x, encoders = torch.randn(24, 4), []
    for size, how in ((12, {}), (6, {"devices": 2, "strategy": "ddp_fork"})):
        torch.manual_seed(0)
        vae = MixturePosteriorVAE((4,), 2, MLP, MLP, adversarial=False, beta3=1e-8, moments=moments)
        fit(vae, x, max_epochs=3, batch_size=size, optimizer=sgd, **ON_CPU, **how)
        encoders.append(vae.encoder.state_dict())
    for name, value in encoders[0].items():
        torch.testing.assert_close(encoders[1][name], value, rtol=1e-5, atol=1e-6)
