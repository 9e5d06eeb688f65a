"""Where the time of a whole command goes, and an epoch of MNIST beside another library's trainer.

python -m benchmarks.epochs [--data-dir DIR] [--repeats 3] [--epochs 2]

The command ``pyro-mixvae train gmvae-digits`` is run as a user runs it; the start of Python with what the command imports
is timed once more alone. The plain VAE's epochs are made in turn by :func:`pyro_mixvae.training.fit` and by the trainer of
``pythae`` (if it is installed: it is no dependency), with the same networks, batches and optimiser.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.record import FIGURES, HERE, described, write_json
from pyro_mixvae.data import load
from pyro_mixvae.models import VAE
from pyro_mixvae.training import fit

NAME, BATCH, HIDDEN = "epochs", 100, [300, 300]
#: What the command imports before it does anything.
IMPORTS = "import pyro_mixvae.cli, pyro_mixvae.training.run"
LIMITS = {"total": 30.0, "import": 5.0, "ours / pythae": 0.80}


def whole_command(recipe: str) -> dict[str, float]:
    """Wall seconds of one run by part, and the processor's seconds of all of it."""
    with tempfile.TemporaryDirectory() as folder:
        program = [sys.executable, "-m", "pyro_mixvae", "train", recipe, "--quiet", "--out", f"{folder}/run"]
        before, start = _children(), time.perf_counter()
        subprocess.run(program, check=True, stdout=subprocess.DEVNULL)
        total, processor = time.perf_counter() - start, _children() - before
        parts = json.loads(Path(folder, "run", "results.json").read_text())["seconds"]
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)
    parts = {"import": time.perf_counter() - start, **parts}
    return {**parts, "the rest": total - sum(parts.values()), "total": total, "processor": processor}


def _children() -> float:
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def ours(x: Tensor, epochs: int, compile: bool) -> Callable[[], None]:
    def run() -> None:
        network = {"kind": "mlp", "hidden_dims": HIDDEN}
        model = VAE(tuple(x.shape[1:]), 20, encoder=network, decoder=network)
        fit(model, x, max_epochs=epochs, batch_size=BATCH, seed=0, progress=False, compile=compile, accelerator="cpu")

    return run


def pythae(x: Tensor, epochs: int) -> Callable[[], None]:
    """The same networks in pythae's own classes; its trainer with its checkpoints and its console left out."""
    import logging

    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE as Theirs
    from pythae.models import VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    from benchmarks.by_hand import mlp

    logging.disable(logging.INFO)
    size = x[0].numel()

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            BaseEncoder.__init__(self)
            self.layers = mlp(size, *HIDDEN, 40)

        def forward(self, x: Tensor) -> Any:
            mean, log_variance = self.layers(x.flatten(1)).chunk(2, -1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            BaseDecoder.__init__(self)
            self.layers = mlp(20, *HIDDEN, size)

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.layers(z).sigmoid().reshape(len(z), *x.shape[1:]))

    def run() -> None:
        config = VAEConfig(input_dim=tuple(x.shape[1:]), latent_dim=20, reconstruction_loss="bce")
        with tempfile.TemporaryDirectory() as folder:
            settings = BaseTrainerConfig(
                output_dir=folder,
                num_epochs=epochs,
                learning_rate=1e-3,
                per_device_train_batch_size=BATCH,
                per_device_eval_batch_size=BATCH,
                no_cuda=True,
            )
            model = Theirs(config, encoder=Encoder(), decoder=Decoder())
            BaseTrainer(model, BaseDataset(x, torch.zeros(len(x))), None, settings).train()

    return run


def timed(run: Callable[[], None], clock: Callable[[], float]) -> float:
    start = clock()
    run()
    return clock() - start


def picture(command: list[dict[str, float]]) -> None:
    from pyro_mixvae.figures.style import colour, dress, new_figure

    figure = new_figure(6.4, 1.8)
    axes = figure.subplots()
    left = 0.0
    for number, part in enumerate(part for part in command[0] if part not in ("total", "processor")):
        width = statistics.median(run[part] for run in command)
        axes.barh([0], [width], left=[left], color=colour(number), label=f"{part} {width:.1f} s")
        left += width
    axes.set(yticks=[])
    dress(axes, x="seconds")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    figure.savefig(FIGURES / f"{NAME}.png", dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=["wall", "processor"], default="wall")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clock = time.perf_counter if arguments.clock == "wall" else time.process_time
    command = [whole_command("gmvae-digits") for _ in range(arguments.repeats)]
    x = load("mnist", data_dir=arguments.data_dir).train.values()
    trainers = {"ours": ours(x, arguments.epochs, False), "ours, compiled": ours(x, arguments.epochs, True)}
    if find_spec("pythae"):
        trainers["pythae"] = pythae(x, arguments.epochs)
    seconds: dict[str, list[float]] = {name: [] for name in trainers}
    for _ in range(arguments.repeats):
        for name, run in trainers.items():
            seconds[name].append(timed(run, clock) / arguments.epochs)
    measured: dict[str, Any] = {"pyro-mixvae train gmvae-digits": command, "seconds for an epoch of MNIST": seconds}
    medians = {part: statistics.median(run[part] for run in command) for part in command[0]}
    rows = [f"| {part} | {value:.1f} |" for part, value in medians.items()]
    lines = [
        "| part | seconds |",
        "|---|---|",
        *rows,
        "",
        f"At most {LIMITS['total']:g} s in total, of which import {LIMITS['import']:g} s.",
        "",
        f"![parts](figures/{NAME}.png)",
        "",
    ]
    lines += [
        f"## An epoch of MNIST ({len(x):,} images), plain VAE 784-300-300-20",
        "",
        "| trainer | seconds | times pythae |",
        "|---|---|---|",
    ]
    for name, values in seconds.items():
        ratio = [a / b for a, b in zip(values, seconds.get("pythae", []), strict=False)]
        lines.append(
            f"| {name} | {statistics.median(values):.2f} | {f'{statistics.median(ratio):.2f}' if ratio else ''} |"
        )
    measured["ratios"] = {
        name: [a / b for a, b in zip(values, seconds.get("pythae", []), strict=False)]
        for name, values in seconds.items()
    }
    write_json(NAME, measured)
    picture(command)
    text = f"`pyro-mixvae train gmvae-digits` as a user runs it, medians of {arguments.repeats} runs; then whole trainings of {arguments.epochs} epochs by `fit` and by pythae's trainer in turn ({arguments.clock} time, set-up included; compilation too, where there is one)."
    (HERE / f"{NAME}.md").write_text(
        described("Whole commands and epochs", text) + "\n" + "\n".join(lines) + "\n", encoding="utf-8"
    )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
