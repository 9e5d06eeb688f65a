"""Run rows of the papers' tables, or render what was run.

python -m benchmarks.reproduce gmvae --rows k10-m1 k30-m1 --seeds 5 --data-dir DIR

A row and seed that has a result is not run again; one that was stopped goes on from its last checkpoint. ``--short`` runs
the training that is short enough for a CPU, whose results stand in rows of their own. Options after ``--set`` change the
recipe for a trial, whose results are kept apart (``--results DIR``).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.reproduce.render import page
from benchmarks.reproduce.runs import RESULTS, measure, result_file
from benchmarks.reproduce.tables import TABLES


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reproduce",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("table", nargs="?", choices=TABLES, help="left out: only render")
    parser.add_argument("--rows", nargs="+", help="names of rows; all if left out")
    parser.add_argument("--seeds", type=int, default=1, help="seeds 0 to N - 1 of each row")
    parser.add_argument("--short", action="store_true", help="the training that is short enough for a CPU")
    parser.add_argument("--device", default="auto", help="cpu, gpu or auto")
    parser.add_argument("--compile", action="store_true", help="compile the objective")
    parser.add_argument("--single", action="store_true", help="single precision, where the processor has no bfloat16")
    parser.add_argument("--data-dir", help="$PYRO_MIXVAE_DATA if left out")
    parser.add_argument("--runs", type=Path, default=Path("runs/reproduce"), help="folder of the run folders")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the result files")
    parser.add_argument("--set", nargs="*", default=[], metavar="OPTION=VALUE", help="change the recipe, for a trial")
    chosen = parser.parse_args(arguments)
    if chosen.set and chosen.results == RESULTS:
        parser.error("--set: a trial's results are kept apart; give --results FOLDER")
    if chosen.seeds < 1:
        parser.error(f"--seeds: expected an integer >= 1, got {chosen.seeds}")
    if chosen.table:
        table = TABLES[chosen.table]
        try:
            rows = table.rows if chosen.rows is None else [table.row(name) for name in chosen.rows]
        except ValueError as error:
            parser.error(str(error))
        if chosen.short and not table.short:
            parser.error(f"--short: {chosen.table} has no short training; the recipe's own is one")
        single = ["--trainer.precision=32-true"] if chosen.single else []
        changes = [*single, *(f"--{change}" for change in chosen.set)]
        for seed in range(chosen.seeds):
            for row in rows:
                path = chosen.results / result_file(chosen.table, row, seed, chosen.short).name
                print(row.title, f"seed {seed}: {'done before' if path.exists() else 'training'}", flush=True)
                record = measure(
                    chosen.table,
                    table,
                    row,
                    seed,
                    chosen.runs,
                    chosen.data_dir,
                    chosen.device,
                    changes,
                    path,
                    compile=chosen.compile,
                    short=chosen.short,
                )
                numbers = {name: record["metrics"].get(name) for name in table.metrics}
                print(row.title, f"seed {seed}", numbers, flush=True)
    # a trial's page lies beside its files
    rendered = (chosen.results.parent if chosen.results == RESULTS else chosen.results) / "RESULTS.md"
    rendered.write_text(page(TABLES, chosen.results), encoding="utf-8")
    print("wrote", rendered)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last complete epoch", file=sys.stderr)
        sys.exit(130)
    except ValueError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
