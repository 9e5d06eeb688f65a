"""A training that reads a file larger than one would hold, beside the same training in memory.

python -m benchmarks.streaming [--rows 60000] [--rounds 5]

The same images lie in memory and in a .npy file that is mapped (``npy:PATH``), as uint8 and as float32. Trainings of
one epoch by ``fit`` take turns; a ratio is the median over the rounds. The file is read through the system's cache, as
it is when it fits there; what a disk adds is the disk's.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import torch

from benchmarks.record import FIGURES, HERE, described, write_json
from pyro_mixvae.data import DataSet, load
from pyro_mixvae.figures.style import INK, dress, new_figure
from pyro_mixvae.models import GMVAE
from pyro_mixvae.training import fit

NAME, SHAPE, LIMIT = "streaming", (1, 28, 28), 1.10


def seconds_of_an_epoch(data: DataSet) -> float:
    torch.manual_seed(0)
    network = {"kind": "mlp", "hidden_dims": [500, 500]}
    model = GMVAE(SHAPE, 10, 10, 10, encoder=network, decoder=network)
    start = time.perf_counter()
    fit(model, data, max_epochs=1, batch_size=100, seed=0, progress=False, accelerator="cpu")
    return time.perf_counter() - start


def in_memory(data: DataSet) -> DataSet:
    """The same data set, read."""
    return replace(data, train=replace(data.train, x=data.train.x.clone(), in_file=False))


def picture(seconds: dict[str, list[float]]) -> None:
    figure = new_figure(5.0, 2.4)
    axes = figure.subplots()
    axes.boxplot(
        list(seconds.values()), orientation="horizontal", tick_labels=list(seconds), medianprops={"color": INK}
    )
    axes.set(xlim=(0, None))
    dress(axes, x="seconds of an epoch")
    figure.savefig(FIGURES / f"{NAME}.png", dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    pixels = numpy.random.default_rng(0).integers(0, 256, (arguments.rows, *SHAPE), dtype=numpy.uint8)
    with tempfile.TemporaryDirectory() as folder:
        files = {"uint8": pixels, "float32": (pixels / 255).astype(numpy.float32)}
        sets: dict[str, DataSet] = {}
        for kind, values in files.items():
            path = Path(folder, f"{kind}.npy")
            numpy.save(path, values)
            sets[f"{kind}, file"] = load(f"npy:{path}")
            sets[f"{kind}, memory"] = in_memory(sets[f"{kind}, file"])
        seconds: dict[str, list[float]] = {name: [] for name in sets}
        for _ in range(arguments.rounds):
            for name, data in sets.items():
                seconds[name].append(seconds_of_an_epoch(data))
    ratios = {
        kind: statistics.median(
            a / b for a, b in zip(seconds[f"{kind}, file"], seconds[f"{kind}, memory"], strict=True)
        )
        for kind in files
    }
    measured: dict[str, Any] = {"seconds of an epoch": seconds, "file / memory": ratios}
    write_json(NAME, measured)
    picture(seconds)
    rows = [f"| {name} | {statistics.median(values):.2f} |" for name, values in seconds.items()]
    goals = [f"| {kind}, file / memory | {value:.2f} | {LIMIT:.2f} |" for kind, value in ratios.items()]
    lines = [
        "| data | seconds an epoch |",
        "|---|---|",
        *rows,
        "",
        "| ratio | measured | at most |",
        "|---|---|---|",
        *goals,
    ]
    text = f"GMVAE 784-500-500, K = 10, batches of 100 from {arguments.rows:,} images, one epoch by `fit` (set-up included), in turn."
    page = (
        described("Data in a file and in memory", text)
        + "\n"
        + "\n".join(lines)
        + f"\n\n![seconds](figures/{NAME}.png)\n"
    )
    (HERE / f"{NAME}.md").write_text(page, encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
