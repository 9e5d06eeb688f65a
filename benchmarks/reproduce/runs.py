"""One row and seed: trained, resumed where it stopped, and kept as a file."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from benchmarks.record import machine, versions
from benchmarks.reproduce.table import Row
from pyro_mixvae.training.checkpoints import FOLDER, LAST
from pyro_mixvae.training.options import apply_options
from pyro_mixvae.training.recipe import read_recipe
from pyro_mixvae.training.run import train

RESULTS = Path(__file__).parent / "results"


def result_file(table: str, row: Row, seed: int) -> Path:
    """Where a row's result with a seed is kept."""
    return RESULTS / f"{table}-{row.name}-{seed}.json"


def measure(
    table: str,
    row: Row,
    seed: int,
    runs: Path,
    data_dir: str | None,
    device: str,
    changes: list[str],
    results: Path | None = None,
    compile: bool = False,
) -> dict[str, Any]:
    """The result, from its file where there is one; else the row is trained, from its last checkpoint on.

    Args:
        table, row, seed: what.
        runs: folder of the run folders.
        data_dir: where the data lie.
        device: Lightning's accelerator.
        changes: further options, for a trial; they stand in the command.
        results: the file that is written; None: that of the table, row and seed.
        compile: compile the objective.
    """
    path = result_file(table, row, seed) if results is None else results
    if path.exists():
        return dict(json.loads(path.read_text(encoding="utf-8")))
    options = [*row.arguments(), f"--trainer.accelerator={device}", *changes]
    recipe, _ = apply_options(read_recipe(row.recipe), options)
    folder = runs / table / row.name / str(seed)
    resumed = (folder / FOLDER / LAST).exists()
    start, processor = time.perf_counter(), time.process_time()
    run = train(recipe, out=folder, data_dir=data_dir, seed=seed, progress=False, resume=True, compile=compile)
    assert run.evaluation is not None
    command = ["pyro-mixvae", "train", row.recipe, *options, f"--seed={seed}", *(["--compile"] if compile else [])]
    record = {
        "command": " ".join(command),
        "versions": versions(),
        "machine": machine(),
        "duration": time.perf_counter() - start,
        "processor seconds": time.process_time() - processor,
        "resumed": resumed,
        "training seconds": run.seconds["training"],
        "metrics": run.evaluation.results,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return record
