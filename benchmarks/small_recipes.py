"""What the recipes that are made for a CPU reach: each as a user would run it, over seeds, in one table."""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.recipe import run
from benchmarks.record import HERE, described, write_json
from benchmarks.reproduce.render import shown

NAME = "small_recipes"
LIKELIHOOD, NEIGHBOURS, ERROR = "log-likelihood", "kNN error of means, k = 3 (%)", "classification error (%)"
#: The recipes, with the results that say what each is for.
SHOWN = {
    "vae-digits": (LIKELIHOOD, NEIGHBOURS),
    "csrae-digits": (LIKELIHOOD, NEIGHBOURS),
    "mixture-csrae-digits": (LIKELIHOOD, NEIGHBOURS),
    "ss-csrae-digits": (ERROR, LIKELIHOOD),
    "factorial-digits": ("factor 0: accuracy", LIKELIHOOD),
    "vade-digits": ("factor 0: accuracy (most-confident)", "factor 0: NMI", LIKELIHOOD),
    "mvae-digits": ("kNN accuracy, all codes (%)", "reconstruction error", "selected K (components on)"),
    "features-digits": (ERROR,),
}


def table(measured: dict[str, list[dict[str, Any]]]) -> str:
    lines = ["| recipe | reaches | seeds | CPU s | memory, MiB |", "|---|---|---|---|---|"]
    for recipe, runs in measured.items():
        ours = [next(iter(one["results"].values())) for one in runs]
        reached = "; ".join(f"{name} {shown([one[name] for one in ours])}" for name in SHOWN[recipe])
        seconds, memory = (statistics.mean(one[key] for one in runs) for key in ("cpu_seconds", "peak_memory_mib"))
        lines.append(f"| `{recipe}` | {reached} | {len(runs)} | {seconds:.0f} | {memory:.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--recipes", nargs="+", choices=list(SHOWN), default=list(SHOWN))
    arguments = parser.parse_args()
    measured: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as place:
        for recipe in arguments.recipes:
            folder = Path(place) / recipe
            measured[recipe] = [run(recipe, seed, [], folder / str(seed)) for seed in range(arguments.seeds)]
            print(recipe, json.dumps(measured[recipe][-1]["results"]), flush=True)
    write_json(NAME, measured)
    text = (
        "`pyro-mixvae train RECIPE` with seeds from 0 on, a process each: results on test data, mean ± standard deviation, "
        "nats where no unit stands; processor time of the whole command, imports and report among it."
    )
    page = f"{described('Recipes for a CPU', text)}\n{table(measured)}\n"
    (HERE / f"{NAME}.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
