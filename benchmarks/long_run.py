"""20,000 steps of gmvae-digits with a run folder: does the memory that the process holds grow?"""

from __future__ import annotations

import argparse
import gc
import math
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from lightning.pytorch import Callback
from numpy.typing import NDArray
from scipy import stats

from benchmarks.record import FIGURES, described, write_json
from pyro_mixvae.training.fit import fit
from pyro_mixvae.training.history import ROOM
from pyro_mixvae.training.recipe import read_recipe
from pyro_mixvae.training.run import build_model, fit_options, open_data

RECIPE = "gmvae-digits"
#: The first part of the run, in which caches fill; and into how many blocks the rest is cut.
WARM_UP, BLOCKS = 0.2, 10
PAGE = resource.getpagesize()


class Resident(Callback):
    """The process's resident memory in MiB at each epoch's beginning, after garbage has been collected.

    Its own rows are there from the beginning on, every page of them touched: what it writes is no growth.
    """

    def __init__(self, epochs: int) -> None:
        self.rows, self.filled = np.full((epochs, 2), np.nan), 0

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.rows[self.filled] = module.step, pages * PAGE / 2**20
        self.filled += 1


def measured(steps: int, recipe: str = RECIPE) -> tuple[NDArray[Any], NDArray[Any], float, float]:
    """Steps, MiB at them, the last epoch's loss, and processor seconds of a training with a run folder."""
    settings = read_recipe(recipe)
    data = open_data(settings)
    options = fit_options(settings)
    options["max_epochs"] = math.ceil(steps / math.ceil(len(data.train) / options["batch_size"]))
    resident, begin = Resident(options["max_epochs"]), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        model = build_model(settings, data, 0)
        result = fit(model, data, seed=0, progress=False, out=folder, callbacks=[resident], **options)
    return resident.rows[:, 0], resident.rows[:, 1], result.history[-1]["train/loss"], time.process_time() - begin


def slope(steps: NDArray[Any], resident: NDArray[Any]) -> dict[str, float]:
    """MiB per 1,000 steps after the warm-up, its 99 % interval, and the growth from the first block to the last.

    Resident memory of one process is no row of independent numbers: the line is fitted to the means of blocks, whose
    scatter about it then gives the interval.
    """
    kept = steps >= WARM_UP * steps[-1]
    blocks = [part.mean(0) for part in np.array_split(np.stack([steps[kept], resident[kept]], 1), BLOCKS)]
    x, y = np.array(blocks).T
    line = stats.linregress(x, y)
    reach = stats.t.ppf(0.995, BLOCKS - 2) * line.stderr
    return {
        "slope": float(1000 * line.slope),
        "low": float(1000 * (line.slope - reach)),
        "high": float(1000 * (line.slope + reach)),
        "growth": float(y[-1] - y[0]),
        "resident": float(y[-1]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20_000)
    arguments = parser.parse_args()
    steps, resident, loss, seconds = measured(arguments.steps)
    found = slope(steps, resident)
    thinned = slice(None, None, max(1, len(steps) // 100))
    record = {**found, "loss": loss, "processor_seconds": seconds, "steps": int(steps[-1])}
    write_json("long_run", {**record, "series": np.stack([steps, resident], 1)[thinned].round(2).tolist()})

    figure, axes = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    axes.plot(steps, resident, linewidth=1)
    axes.axvspan(0, WARM_UP * steps[-1], color="0.92")
    axes.set(xlabel="step", ylabel="resident memory (MiB)", ylim=(0, 1.15 * resident.max()))
    axes.spines[["top", "right"]].set_visible(False)
    FIGURES.mkdir(exist_ok=True)
    figure.savefig(FIGURES / "long_run.png", dpi=110)
    text = f"""The recipe `{RECIPE}` for {int(steps[-1]):,} steps ({len(steps):,} epochs, a checkpoint and a row of metrics after each):
memory that the process holds, read at each epoch's beginning after a collection of garbage. The first fifth is warm-up;
a line is fitted to the means of {BLOCKS} blocks of the rest. The history has room from the beginning for {ROOM:,} numbers
and doubles it when it is full. No tensor and no other object is more after 30 epochs than after 10, for any model, and
Python's own memory is the same after 130 epochs as after 30 (`tests/training/test_long_run.py` looks at both)."""
    page = f"""{described("A long run: memory over 20,000 steps", text)}
| MiB per 1,000 steps | 99 % interval | growth from the first block to the last (MiB) | resident at the end (MiB) | processor seconds |
|---|---|---|---|---|
| {found["slope"]:.4f} | {found["low"]:.4f} to {found["high"]:.4f} | {found["growth"]:.2f} | {found["resident"]:.1f} | {seconds:.0f} |

![resident memory](figures/long_run.png)
"""
    (FIGURES.parent / "long_run.md").write_text(page, encoding="utf-8")
    print(record)


if __name__ == "__main__":
    main()
