"""How the recipe gmvae-mnist-mlp was chosen: trainings on 50,000 images of MNIST, judged on 10,000 validation images.

Each call makes one trial and adds it to the page; the test images are not looked at.
"""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from lightning.pytorch import Callback

from benchmarks.record import described
from benchmarks.trials import add_trial
from pyro_mixvae.data import load
from pyro_mixvae.metrics import clustering_accuracy
from pyro_mixvae.models import GMVAE
from pyro_mixvae.training import LinearWarmup, fit

NAME = "gmvae_mnist_trials"
TITLE = "How gmvae-mnist-mlp was chosen"
#: How many trials are older than this script.
DRAFTED = 12
#: How many took the first of the images whose responsibility is rounded to 1 for the most confident.
ROUNDED = 39
#: How many ran on an older machine.
ELSEWHERE = 53
#: What a trial's last epoch is measured by besides, the last two without labels; older trials lack them.
MEASURED = {"averaged": ".3f", "purity": ".3f", "loss": ".2f", "evenness": ".3f"}
#: Over how many draws of z and w responsibilities are averaged.
DRAWS = 100
#: What a trial may choose, with what was tried first.
CHOICES: dict[str, Any] = {
    "num_components": 30,
    "hidden": 500,
    "layers": "",
    "channels": "",
    "prior_hidden": 500,
    "style_dim": 10,
    "latent_dim": 20,
    "batch_norm": 0,
    "warmup": 0,
    "warmed": "z",
    "start": 0.0,
    "end": 1.0,
    "lr": 1e-3,
    "schedule": "constant",
    "binarize": "none",
    "input_noise": 0.0,
    "rotation": 0.0,
    "shift": 0.0,
    "batch_size": 128,
    "clip": 0.0,
    "num_particles": 1,
    "c_prior_floor": "log K",
    "precision": "32-true",
    "epochs": 12,
    "seed": 0,
}


def every(epochs: int) -> int:
    """After how many epochs the accuracy is looked at."""
    return max(1, epochs // 4)


class Watch(Callback):
    """Accuracy on validation images after some of the epochs."""

    def __init__(self, model: GMVAE, x: torch.Tensor, y: torch.Tensor, every: int) -> None:
        self.model, self.x, self.y, self.every = model, x, y, every
        self.accuracy: dict[str, float] = {}

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        epoch = trainer.current_epoch + 1
        if epoch % self.every == 0:
            with torch.no_grad(), torch.random.fork_rng():
                log_responsibilities = self.model.log_responsibilities(self.x)
            self.accuracy[str(epoch)] = round(clustering_accuracy(log_responsibilities, self.y), 4)
            print(f"epoch {epoch}: {self.accuracy[str(epoch)]}", flush=True)


def convolutional(chosen: dict[str, Any]) -> dict[str, Any]:
    """An encoder of strided convolutions of size 4, then one hidden layer of half the width."""
    layers = [[int(channels), 4, 2, 1] for channels in chosen["channels"].split("+")]
    return {
        "kind": "conv",
        "layers": layers,
        "hidden_dims": [chosen["hidden"] // 2],
        "batch_norm": bool(chosen["batch_norm"]),
    }


def trial(chosen: dict[str, Any], data_dir: str) -> dict[str, Any]:
    """One training: what was chosen, the accuracy on the way, and processor seconds."""
    moves = {name: chosen[name] for name in ("rotation", "shift")}
    data = load("mnist", data_dir=data_dir, split="50000/10000/0", binarize=chosen["binarize"], **moves)
    assert data.validation is not None
    sizes = [int(size) for size in chosen["layers"].split("+")] if chosen["layers"] else [chosen["hidden"]] * 2
    network = {"kind": "mlp", "hidden_dims": sizes, "batch_norm": bool(chosen["batch_norm"])}
    decoder = {**network, "hidden_dims": sizes[::-1]}
    encoder = convolutional(chosen) if chosen["channels"] else network
    floor = chosen["c_prior_floor"]
    torch.manual_seed(chosen["seed"])
    model = GMVAE(
        (1, 28, 28),
        chosen["latent_dim"],
        chosen["num_components"],
        chosen["style_dim"],
        encoder=encoder,
        decoder=decoder,
        prior_network={"kind": "mlp", "hidden_dims": [chosen["prior_hidden"]], "activation": "tanh"},
        c_prior_floor=floor if floor == "log K" else float(floor),
        num_particles=chosen["num_particles"],
        input_noise=chosen["input_noise"],
    )
    x, y = data.validation.values(), data.validation.y
    assert y is not None
    sites = chosen["warmed"].split("+")
    warmup = LinearWarmup(epochs=chosen["warmup"], sites=sites, start=chosen["start"], end=chosen["end"])
    watch, begin = Watch(model, x, y, every(chosen["epochs"])), time.process_time()
    result = fit(
        model,
        data,
        max_epochs=chosen["epochs"],
        lr=chosen["lr"],
        batch_size=chosen["batch_size"],
        clip=chosen["clip"] or None,
        compile=True,
        precision=chosen["precision"],
        seed=chosen["seed"],
        progress=False,
        accelerator="cpu",
        schedule=None if chosen["schedule"] == "constant" else chosen["schedule"],
        warmup=warmup if chosen["warmup"] else None,
        callbacks=[watch],
    )
    seconds = round(time.process_time() - begin)
    responsibilities = model.responsibilities(x)
    torch.manual_seed(0)
    averaged = torch.cat([model.log_responsibilities(batch, num_samples=DRAWS) for batch in x.split(500)])
    return {
        **chosen,
        "accuracy": watch.accuracy,
        "averaged": clustering_accuracy(averaged, y),
        "purity": clustering_accuracy(responsibilities, y, rule="majority"),
        "loss": result.history[-1]["train/loss"],
        "evenness": evenness(responsibilities),
        "processor_seconds": seconds,
    }


def evenness(responsibilities: torch.Tensor) -> float:
    """Entropy of the clusters' shares over log K: 1 where all are equally large. It needs no labels."""
    return float(torch.special.entr(responsibilities.mean(0)).sum() / math.log(responsibilities.shape[-1]))


def page(trials: list[dict[str, Any]]) -> str:
    names = list(CHOICES)
    heads = [*names, "accuracy after epochs", *MEASURED, "CPU s"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for each in trials:
        accuracy = ", ".join(f"{value:.3f} ({epoch})" for epoch, value in each["accuracy"].items())
        chosen = " | ".join(
            str(each.get(name, CHOICES[name])) or "–" for name in names
        )  # older trials could not choose all
        seconds = "–" if each["processor_seconds"] is None else each["processor_seconds"]
        measured = " | ".join(format(each[name], form) if name in each else "–" for name, form in MEASURED.items())
        lines.append(f"| {chosen} | {accuracy} | {measured} | {seconds} |")
    stopped = sum(int(list(each["accuracy"])[-1]) + every(each["epochs"]) <= each["epochs"] for each in trials)
    text = (
        "Most-confident accuracy on 10,000 validation images, networks of two hidden layers, or where layers stand those of the encoder, the decoder's being the same the other way round; "
        "where channels stand, the encoder is of convolutions of size 4 and stride 2 with so many, and one hidden layer of half the width; "
        f"{len(trials)} trainings on the other 50,000, {stopped} of which were stopped early, which shows in their last epoch. "
        "With binarize the validation images are binary as well. A warm-up is of the KL terms of the sites named, whose weights go from start to end; a clip of 0 is none. "
        f"The first {DRAFTED} were made by a draft of this script, with the same settings and the same code of the package. "
        f"The first {ROUNDED} took the first of those images whose responsibility for a cluster is rounded to 1 for its most confident. "
        f"Averaged is the same of the last epoch with responsibilities averaged over {DRAWS} draws of z and w; "
        "purity is the share of the images with their cluster's most frequent digit; loss that of the training's last epoch; "
        "evenness the entropy of the clusters' shares of the validation images over log K; the last two need no labels. "
        f"The first {ELSEWHERE} ran on an Intel Xeon of 2.5 GHz. "
        "Where no time stands, the line was copied from the output of a stopped training; the command below made the last line with a time."
    )
    return described(TITLE, text) + "\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    add_trial(NAME, __doc__, CHOICES, trial, page)
