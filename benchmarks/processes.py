"""One and two processes on the same joint batches: seconds of an epoch.

python -m benchmarks.processes [--epochs 3]

Each training is a script of its own, as a user would start it, with one thread for each process. On two cores two
processes can at best halve an epoch; what they lose is the sum of the gradients over the processes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import Any

import torch
from lightning.pytorch import Callback

from benchmarks.record import FIGURES, HERE, described, write_json
from pyro_mixvae.figures.style import colour, dress, marker, new_figure
from pyro_mixvae.models import GMVAE
from pyro_mixvae.training import fit

NAME, DATA, JOINT = "processes", 20_000, 200


class Epochs(Callback):
    """Wall seconds of each epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        self.start = time.perf_counter()

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        self.seconds.append(time.perf_counter() - self.start)


def train(processes: int, epochs: int) -> None:
    """One training; the first process prints its epochs."""
    torch.set_num_threads(1)
    network = {"kind": "mlp", "hidden_dims": [500, 500]}
    torch.manual_seed(0)
    model, x, look = GMVAE((784,), 10, 10, 10, encoder=network, decoder=network), torch.rand(DATA, 784), Epochs()
    how: dict[str, Any] = {"strategy": "ddp", "devices": 2} if processes == 2 else {}
    options = {
        "batch_size": JOINT // processes,
        "seed": 0,
        "progress": False,
        "accelerator": "cpu",
        "callbacks": [look],
    }
    result = fit(model, x, max_epochs=epochs, **options, **how)
    if result.trainer.is_global_zero:
        print("seconds:", json.dumps(look.seconds))


def started(processes: int, epochs: int) -> list[float]:
    program = [sys.executable, "-m", "benchmarks.processes", "--only", str(processes), "--epochs", str(epochs)]
    done = subprocess.run(program, check=True, capture_output=True, text=True)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("seconds: ")]
    return json.loads(line.removeprefix("seconds: "))


def picture(measured: dict[str, list[float]]) -> None:
    figure = new_figure(4.0, 2.6)
    axes = figure.subplots()
    for number, (count, seconds) in enumerate(measured.items()):
        name, epochs = f"{count} process{'es' * (count != '1')}", range(1, len(seconds) + 1)
        axes.plot(epochs, seconds, marker=marker(number), color=colour(number), label=name)
    axes.set(
        ylim=(0, 1.1 * max(max(seconds) for seconds in measured.values())), xticks=range(1, len(measured["1"]) + 1)
    )
    dress(axes, x="epoch", y="seconds")
    axes.legend(frameon=False)
    figure.savefig(FIGURES / f"{NAME}.png", dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--only", type=int, choices=[1, 2], help="train here and now, in so many processes")
    arguments = parser.parse_args()
    if arguments.only:
        train(arguments.only, arguments.epochs)
        return
    torch.set_num_threads(1)
    measured = {f"{count}": started(count, arguments.epochs) for count in (1, 2)}
    one, two = (statistics.median(seconds[1:] or seconds) for seconds in measured.values())
    picture(measured)
    write_json(NAME, {"seconds of each epoch": measured, "speed-up": one / two})
    text = f"GMVAE 784-500-500, K = 10, {DATA:,} data, joint batches of {JOINT}, one thread for each process."
    rows = f"| processes | seconds an epoch |\n|---|---|\n| 1 | {one:.2f} |\n| 2 | {two:.2f} |\n\nSpeed-up {one / two:.2f}.\n\n![epochs](figures/{NAME}.png)\n"
    (HERE / f"{NAME}.md").write_text(described("One and two processes", text) + "\n" + rows, encoding="utf-8")
    print(rows)


if __name__ == "__main__":
    main()
