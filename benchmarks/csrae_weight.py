"""What lambda does to samples of a CSRAE of MNIST with 40 latent dimensions, and which one the paper's criterion chooses.

The trainings are those of ``python -m benchmarks.reproduce csrae-quality --short``, which stands at lambda = 1. A weight that
was measured before is not measured again, and a stopped training goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

from benchmarks.record import HERE, RESULTS, described, write_json
from benchmarks.reproduce.runs import measure
from benchmarks.reproduce.tables import FRECHET, QUALITY

NAME = "csrae_weight"
#: Of the paper's grid, those that are tried.
WEIGHTS = (0.5, 1.0, 2.0, 5.0, 10.0)
#: What the paper chooses by: the objective at lambda = 1, on validation data.
CRITERION = "validation/loss"
COLUMNS = (
    "Cauchy-Schwarz divergence",
    FRECHET,
    "log-likelihood",
    "reconstruction error",
    "active units",
    "kNN error, k = 3 (%)",
    "kNN error of means, k = 3 (%)",
)


def smallest(metrics: Path, name: str = CRITERION) -> float:
    """The smallest value of a column of a run's metrics; early stopping keeps the model of that epoch."""
    with metrics.open(encoding="utf-8", newline="") as file:
        return min(float(row[name]) for row in csv.DictReader(file) if row[name])


def table(measured: dict[str, dict[str, Any]]) -> str:
    """One row for each model and weight, the criterion's choice marked."""
    lines = [
        "| model | lambda | criterion (validation) | " + " | ".join(COLUMNS) + " |",
        "|---" * (3 + len(COLUMNS)) + "|",
    ]
    for model in dict.fromkeys(record["model"] for record in measured.values()):
        records = sorted((one for one in measured.values() if one["model"] == model), key=lambda one: one["weight"])
        best = min(records, key=lambda one: one["criterion"])
        for one in records:
            # the run's term is weighted
            scores = {"Cauchy-Schwarz divergence": one["metrics"]["divergence"] / one["weight"], **one["metrics"]}
            numbers = " | ".join(f"{scores[name]:.2f}" for name in COLUMNS)
            mark = " (chosen)" if one is best and len(records) > 1 else ""
            lines.append(f"| {model} | {one['weight']:g}{mark} | {one['criterion']:.2f} | {numbers} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs/csrae-weight"), help="folder of the run folders")
    parser.add_argument("--rows", nargs="+", choices=["csrae", "mixture-csrae"], default=["csrae"])
    parser.add_argument("--weights", nargs="+", type=float, default=list(WEIGHTS), metavar="LAMBDA")
    chosen = parser.parse_args()
    for name in chosen.rows:
        row = QUALITY.row(name)
        for weight in chosen.weights:
            key, trial = f"{name}-{weight:g}", f"csrae-quality-{weight:g}"
            path = chosen.runs / f"{key}.json"
            changes = [f"--objective.scale={weight:g}"]
            result = measure(
                trial, QUALITY, row, 0, chosen.runs, chosen.data_dir, "auto", changes, path, compile=True, short=True
            )
            file = RESULTS / f"{NAME}.json"
            # read after the training: another one may have ended meanwhile
            measured = json.loads(file.read_text(encoding="utf-8"))["measured"] if file.exists() else {}
            measured[key] = {
                "model": row.title,
                "weight": weight,
                "criterion": smallest(chosen.runs / trial / f"{row.name}.short" / "0" / "metrics.csv"),
                "metrics": result["metrics"],
                "processor seconds": result["processor seconds"],
            }
            write_json(NAME, measured)
            print(key, json.dumps(measured[key]), flush=True)
            text = (
                f"{QUALITY.short}; one seed, seed 0. The criterion is the paper's for the choice of lambda: the smallest "
                "-E log p(x|z) + D_CS on the 5,000 validation images, whatever lambda was trained with. The other columns "
                "are of the test images; the Frechet distance is taken in the features of our own classifier. The command below made "
                "the newest row; the others are made by other --rows and --weights."
            )
            page = f"{described('The weight of the Cauchy-Schwarz divergence', text)}\n{table(measured)}\n"
            (HERE / f"{NAME}.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
