"""A user's script that trains in two processes: ``python two_processes.py FOLDER WHAT`` leaves a file of each."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from lightning.pytorch import Callback
from pyro.infer import TraceEnum_ELBO
from torch import nn

from pyro_mixvae.data import DataSet, Split, load
from pyro_mixvae.infer import KL, FreeBits, TraceDivergence_ELBO
from pyro_mixvae.models import CSRAE, GMVAE, MVAE, FactorialMixtureVAE, MixturePosteriorVAE
from pyro_mixvae.training import LinearWarmup, fit

NETWORK = {"kind": "mlp", "hidden_dims": [20], "batch_norm": True}
PLAIN = {"kind": "mlp", "hidden_dims": [20]}
NUM_DATA = 1237
MODELS: dict[str, Any] = {
    "GMVAE": lambda: GMVAE((1, 8, 8), 4, 5, style_dim=2, encoder=NETWORK, decoder=NETWORK),
    "CSRAE": lambda: CSRAE((1, 8, 8), 4, prior="gaussian-mixture", num_components=5, encoder=NETWORK, decoder=NETWORK),
    "FactorialMixtureVAE": lambda: FactorialMixtureVAE(
        (1, 8, 8), NUM_DATA, 3, [10, 4], encoder=NETWORK, decoder=NETWORK, delay=5.0
    ),
    "MVAE": lambda: MVAE(
        (1, 8, 8), 2, 3, encoder=PLAIN, mixed_shape=(20,), decoder=PLAIN, dropout="gaussian", per_component=True
    ),
}
TWO = {"devices": 2, "strategy": "ddp"}


class Look(Callback):
    """What this process draws and is given at the start."""

    seen: dict[str, Any]

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_index: int) -> None:
        if module.step == 0 and batch_index == 0:
            state = torch.get_rng_state()
            self.seen = {"noise": torch.rand(3), "batch": batch[0].clone()}
            torch.set_rng_state(state)


class Codes(nn.Module):
    """Nothing but z ~ N(0, 1) against N(w x, 1): its loss needs no noise, so that processes can be compared."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(2.0))

    def model(self, x: torch.Tensor) -> None:
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(torch.zeros(len(x)), 1.0))

    def guide(self, x: torch.Tensor) -> None:
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(self.w * x[:, 0], 1.0))


class NotANumberInOne(TraceEnum_ELBO):
    """A loss that is NaN at the fourth step of the second process alone."""

    calls = 0

    def differentiable_loss(self, *args: Any, **kwargs: Any) -> Any:
        loss = super().differentiable_loss(*args, **kwargs)
        self.calls += 1
        second = torch.distributed.is_initialized() and torch.distributed.get_rank() == 1
        return loss * float("nan") if second and self.calls == 4 else loss


def train_codes(**how: Any) -> tuple[Codes, Any]:
    """Joint batches of 12, whose mean cost lies above the floor while that of half of them may not."""
    codes, x = Codes(), torch.linspace(0.0, 1.0, 24).unsqueeze(-1)
    objective = TraceDivergence_ELBO({"z": FreeBits(KL(), floor=0.2) + 0.1 * KL()}, max_plate_nesting=1)
    sgd = {"optimizer": lambda parameters: torch.optim.SGD(parameters, lr=0.05), "seed": 0, "progress": False}
    return codes, fit(codes, x, objective=objective, max_epochs=6, accelerator="cpu", **sgd, **how)


def train_moments(**how: Any) -> tuple[MixturePosteriorVAE, Any]:
    """With next to no weight on the data the loss is that of the joint batch's moments, again without noise."""
    torch.manual_seed(0)
    network = {"kind": "mlp", "hidden_dims": [8]}
    vae, x = MixturePosteriorVAE((4,), 2, network, network, adversarial=False, beta3=1e-8), torch.randn(24, 4)
    sgd = {"optimizer": lambda parameters: torch.optim.SGD(parameters, lr=0.05), "seed": 0, "progress": False}
    return vae, fit(vae, x, max_epochs=3, accelerator="cpu", **sgd, **how)


def train(folder: Path, what: str) -> None:
    look = Look()
    how: dict[str, Any] = {**TWO, "accelerator": "cpu", "progress": False, "callbacks": [look]}
    digits = load("digits").train
    data = DataSet(
        "digits", Split(digits.x[:NUM_DATA]), Split(digits.x[NUM_DATA:]), None, None, (), source="scikit-learn"
    )
    if what == "free bits":
        trained, result = train_codes(batch_size=6, callbacks=[look], **TWO)
    elif what == "moments compiled":
        trained, result = train_moments(batch_size=6, callbacks=[look], compile=True, **TWO)
    elif what == "patience":
        # neither seed nor folder: the first process's are everyone's
        torch.seed()
        trained = MODELS["GMVAE"]()
        result = fit(trained, data, max_epochs=4, patience=1, warmup=LinearWarmup(epochs=1), lr=0.1, **how)
    elif what == "not a number":
        trained = MODELS["GMVAE"]()
        result = fit(trained, data, objective=NotANumberInOne(), max_epochs=2, batch_size=25, seed=0, **how)
    else:
        cls, _, compile = what.partition(" ")
        torch.manual_seed(0)
        trained = MODELS[cls]()
        # joint batches of 50 and one that is shorter: 25 steps an epoch
        how |= {"seed": 0, "out": folder / "run", "compile": bool(compile)}
        result = fit(trained, data, max_epochs=2, batch_size=25, **how)
    state = {"state": trained.state_dict(), "history": result.history, **look.seen}
    torch.save(state, folder / f"rank{result.trainer.global_rank}.pt")


if __name__ == "__main__":
    train(Path(sys.argv[1]), sys.argv[2])
