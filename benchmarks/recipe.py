"""Run a recipe as a user would, over seeds: results, wall time, CPU time and peak memory of the whole command."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.record import HERE, described, write_json


def run(recipe: str, seed: int, options: list[str], folder: Path) -> dict[str, Any]:
    """One whole command in a process of its own."""
    command = ["pyro-mixvae", "train", recipe, "--seed", str(seed), "--out", str(folder), "--quiet", *options]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"{shlex.join(command)} ended with status {os.waitstatus_to_exitcode(status)}")
    return {
        "seed": seed,
        "wall_seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_memory_mib": usage.ru_maxrss / 1024,
        **json.loads((folder / "results.json").read_text()),
    }


def table(runs: list[dict[str, Any]]) -> str:
    """One row for each seed and one for their mean and standard deviation, each result beside the baselines'."""
    columns = {
        f"{metric}, {method}": [run["results"][method].get(metric) for run in runs]
        for method in runs[0]["results"]
        for metric in runs[0]["results"][method]
        if any(word in metric for word in ("accuracy", "likelihood", "classification error"))
        or metric in ("NMI", "ARI", "loss")
    }
    columns |= {
        "wall, s": [run["wall_seconds"] for run in runs],
        "CPU, s": [run["cpu_seconds"] for run in runs],
        "peak memory, MiB": [run["peak_memory_mib"] for run in runs],
    }
    head = ["", *(f"seed {run['seed']}" for run in runs), *(["mean", "sd"] if len(runs) > 1 else [])]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, values in columns.items():
        spread = [statistics.mean(values), statistics.stdev(values)] if len(values) > 1 else []
        digits = 1 if values[0] > 100 else 3
        lines.append(f"| {name} | " + " | ".join(f"{value:.{digits}f}" for value in [*values, *spread]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--name", help="of the files that are written; the recipe's name if left out")
    parser.add_argument("--note", default="", help="a sentence for the page")
    arguments, options = parser.parse_known_args()
    runs = []
    with tempfile.TemporaryDirectory() as place:
        for seed in range(arguments.seeds):
            runs.append(run(arguments.recipe, seed, options, Path(place) / str(seed)))
            print(json.dumps(runs[-1]["results"]), flush=True)
    name = (arguments.name or arguments.recipe).replace("-", "_")
    write_json(name, runs)
    shown = shlex.join(["pyro-mixvae", "train", arguments.recipe, *options])
    text = (
        f"`{shown}`, {arguments.seeds} seed{'s' * (arguments.seeds > 1)}, measured on held-out data. {arguments.note}"
    )
    (HERE / f"{name}.md").write_text(f"{described(arguments.recipe, text.strip())}\n{table(runs)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
