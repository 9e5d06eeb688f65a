"""One row and seed: trained, resumed where it stopped, and kept as a file."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path
from typing import Any

from benchmarks.record import machine, versions
from benchmarks.reproduce.scores import distance
from benchmarks.reproduce.table import SHORT, Row, Table, place_of
from pyro_mixvae.training.checkpoints import FOLDER, LAST
from pyro_mixvae.training.options import apply_options
from pyro_mixvae.training.recipe import read_recipe
from pyro_mixvae.training.run import train

RESULTS = Path(__file__).parent / "results"


def result_file(table: str, row: Row, seed: int, short: bool = False) -> Path:
    """Where a row's result with a seed is kept."""
    return RESULTS / f"{row.record(table, short)}-{seed}.json"


def measure(
    name: str,
    table: Table,
    row: Row,
    seed: int,
    runs: Path,
    data_dir: str | None,
    device: str,
    changes: list[str],
    results: Path | None = None,
    compile: bool = False,
    short: bool = False,
) -> dict[str, Any]:
    """The result, from its file where there is one; else the row is trained, from its last checkpoint on.

    Args:
        name, table, row, seed: what.
        runs: folder of the run folders.
        data_dir: where the data lie.
        device: Lightning's accelerator.
        changes: further options, for a trial; they stand in the command.
        results: the file that is written; None: that of the table, row and seed.
        compile: compile the objective.
        short: the training that is short enough for a CPU.
    """
    path = result_file(name, row, seed, short) if results is None else results
    if path.exists():
        return dict(json.loads(path.read_text(encoding="utf-8")))
    if table.prepare:
        table.prepare(data_dir)
    options = [*row.arguments(short), f"--trainer.accelerator={device}", *changes]
    recipe, _ = apply_options(read_recipe(place_of(row.recipe)), options)
    folder = runs / name / f"{row.name}{SHORT if short else ''}" / str(seed)
    resumed = (folder / FOLDER / LAST).exists()
    start, processor = time.perf_counter(), time.process_time()
    run = train(recipe, out=folder, data_dir=data_dir, seed=seed, progress=False, resume=True, compile=compile)
    assert run.evaluation is not None
    duration, processor = time.perf_counter() - start, time.process_time() - processor
    metrics = dict(run.evaluation.results)
    if table.features:
        metrics |= distance(run.model, recipe, table.features, runs, data_dir, seed)
    if table.scores:
        metrics |= table.scores(run.model, recipe, data_dir)
    command = ["pyro-mixvae", "train", row.recipe, *options, f"--seed={seed}", *(["--compile"] if compile else [])]
    record = {
        "command": shlex.join(command),
        "versions": versions(),
        "machine": machine(),
        "duration": duration,
        "processor seconds": processor,
        "resumed": resumed,
        "training seconds": run.seconds["training"],
        "metrics": metrics,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return record
