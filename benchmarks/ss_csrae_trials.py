"""Few labels of MNIST: what the semi-supervised model makes of the other images, epoch by epoch, on validation images.

Each call makes one trial and adds it to the page; the test images are not looked at.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from lightning.pytorch import Callback

from benchmarks.record import described
from benchmarks.ss_csrae_mnist import LR, OTHERS, PRIOR, SHARED, UNLABELLED, WARMUP_EPOCHS
from benchmarks.trials import add_trial
from pyro_mixvae.data import Split, load
from pyro_mixvae.metrics import classification_error
from pyro_mixvae.models import SemiSupervisedCSRAE
from pyro_mixvae.training import LinearWarmup, fit
from pyro_mixvae.training.labels import predicted

NAME = "ss_csrae_trials"
TITLE = "Few labels: how the semi-supervised model is trained"
#: How many trials are older than this script.
DRAFTED = 6
#: How many trials ran on an older machine.
ELSEWHERE = 7
#: What a trial may choose, with its default.
CHOICES: dict[str, Any] = {
    "labels": 250,
    "pretraining": 0,
    "warmup": WARMUP_EPOCHS,
    "alpha": 100.0,
    "scale": 1.0,
    "num_components": PRIOR["num_components"],
    "latent_dim": PRIOR["latent_dim"],
    "labelled_per_batch": 20,
    "lr": LR,
    "schedule": "constant",
    "precision": "32-true",
    "epochs": 20,
    "seed": 0,
}


class Watch(Callback):
    """Percent wrong on validation images after each epoch."""

    def __init__(self, model: SemiSupervisedCSRAE, part: Split) -> None:
        self.model, self.x, self.y = model, part.values(), part.y
        self.errors: list[float] = []

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        with torch.no_grad(), torch.random.fork_rng():
            self.errors.append(round(classification_error(predicted(self.model, self.x), self.y), 2))
        print(f"epoch {len(self.errors)}: {self.errors[-1]}", flush=True)


def trial(chosen: dict[str, Any], data_dir: str) -> dict[str, Any]:
    """One training: what was chosen, the errors on the way, and processor seconds."""
    how: dict[str, Any] = {
        "lr": chosen["lr"],
        "seed": chosen["seed"],
        "compile": True,
        "precision": chosen["precision"],
        "progress": False,
        "accelerator": "cpu",
    }
    options: dict[str, Any] = {"split": "45000/5000/10000", "binarize": "dynamic", "labelled": chosen["labels"]}
    data = load("mnist", data_dir=data_dir, seed=chosen["seed"], **options)
    assert data.validation is not None
    torch.manual_seed(chosen["seed"])
    sizes = {name: chosen[name] for name in ("alpha", "scale", "num_components", "latent_dim")}
    model = SemiSupervisedCSRAE(data.event_shape, num_classes=10, **{**PRIOR, **sizes}, **SHARED, **OTHERS)
    watch, begin = Watch(model, data.validation), time.process_time()
    warmup = LinearWarmup(epochs=chosen["warmup"], sites=["z"]) if chosen["warmup"] else None
    if chosen["pretraining"]:
        fit(model.pretraining(), data, max_epochs=chosen["pretraining"], batch_size=UNLABELLED, warmup=warmup, **how)
    fit(
        model,
        data,
        max_epochs=chosen["epochs"],
        batch_size=UNLABELLED + chosen["labelled_per_batch"],
        labelled_per_batch=chosen["labelled_per_batch"],
        balanced=True,
        schedule=None if chosen["schedule"] == "constant" else chosen["schedule"],
        warmup=None if chosen["pretraining"] else warmup,
        callbacks=[watch],
        **how,
    )
    return {**chosen, "errors": watch.errors, "processor_seconds": round(time.process_time() - begin)}


def page(trials: list[dict[str, Any]]) -> str:
    names = list(CHOICES)
    lines = [f"| {' | '.join(names)} | percent wrong after each epoch | CPU s |", "|" + "---|" * (len(names) + 2)]
    for each in trials:
        chosen = " | ".join(str(each.get(name, CHOICES[name])) for name in names)  # older trials could not choose all
        errors = ", ".join(f"{error:.1f}" for error in each["errors"])
        seconds = "–" if each["processor_seconds"] is None else each["processor_seconds"]
        lines.append(f"| {chosen} | {errors} | {seconds} |")
    stopped = sum(len(each["errors"]) < each["epochs"] for each in trials)
    text = (
        "Percent wrong on 5,000 validation images of dynamically binarised MNIST, a semi-supervised Mixture-CSRAE with "
        "the networks of table VI, scale (lambda) as shown, beta = 1. "
        f"Each batch has {UNLABELLED} images beside the labelled ones. pretraining: epochs of the autoencoder alone, before those "
        f"shown; warmup: epochs, the first of all, in which the divergence is warmed up. {len(trials)} trainings, {stopped} of "
        f"which were stopped early. The first {DRAFTED} were made by a draft of this script, with the same code of the "
        "package, and are copied from its output, as is each line without a time. "
        f"The first {ELSEWHERE} ran on an Intel Xeon of 2.5 GHz; the command below made the newest."
    )
    return described(TITLE, text) + "\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    add_trial(NAME, __doc__, CHOICES, trial, page)
