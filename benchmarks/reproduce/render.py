"""RESULTS.md from the files of results: only what was run appears, and what was not run says so."""

from __future__ import annotations

import itertools
import json
import statistics
from pathlib import Path
from typing import Any

from benchmarks.reproduce.table import Row, Table

HEAD = """\
# The papers' tables, measured

Made by `python -m benchmarks.reproduce` from the files in `results/`, each of which holds the command, the
versions, the machine, the duration and every metric. Ours are means over seeds, +- the standard deviation where there
are two or more, and "of 5" where only 5 of them have it; "p" is the paper's number. Nothing is chosen by test data. Times are of several machines, each file's own.
"""


def results_of(table: str, row: Row, folder: Path, short: bool = False) -> list[dict[str, Any]]:
    """What was measured of a row, in the order of the seeds."""
    paths = sorted(
        folder.glob(f"{row.record(table, short)}-[0-9]*.json"), key=lambda path: int(path.stem.rpartition("-")[2])
    )
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def shown(values: list[float]) -> str:
    """Mean and spread, with as many digits as their size asks for."""
    digits = 1 if abs(statistics.mean(values)) >= 100 else 2 if abs(statistics.mean(values)) >= 2 else 3
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{spread}"


def cell(row: Row, metric: str, results: list[dict[str, Any]]) -> str:
    """Ours, of how many seeds where not all have it, and the paper's where it prints one."""
    values = [result["metrics"][metric] for result in results if result["metrics"].get(metric) is not None]
    ours = shown(values) if values else "–"
    if 0 < len(values) < len(results):
        ours += f" (of {len(values)})"
    return f"{ours} (p {row.paper[metric]:g})" if metric in row.paper else ours


def section(name: str, table: Table, folder: Path) -> str:
    """One paper's table."""
    lines = [f"## {table.title}", "", table.choice, ""]
    lines += [
        "| row | "
        + " | ".join(metric.replace("|", r"\|") for metric in table.metrics)
        + " | seeds | CPU minutes a seed |",
        "|---" * (len(table.metrics) + 3) + "|",
    ]
    notes = [table.differs] if table.differs else []
    for row, short in itertools.product(table.rows, (False, True)):
        results = results_of(name, row, folder, short)
        if not results:
            continue
        minutes = statistics.mean(result["processor seconds"] for result in results) / 60
        part = "at least " if any(result.get("resumed") for result in results) else ""
        cells = " | ".join(cell(row, metric, results) for metric in table.metrics)
        title = f"{row.title} (short)" if short else row.title
        lines.append(f"| {title} | {cells} | {len(results)} | {part}{minutes:.1f} |")
        if row.note and row.note not in notes:
            notes.append(row.note)
    if any(results_of(name, row, folder, True) for row in table.rows):
        lines += ["", f"Short: {table.short}."]
    lines += ["", *(f"Differs: {note}." for note in notes)]
    full, brief = ({row.title for row in table.rows if results_of(name, row, folder, s)} for s in (False, True))
    titles = [row.title for row in table.rows]
    for what, rows in (
        ("Run short only", [title for title in titles if title in brief - full]),
        ("Not run", [title for title in titles if title not in brief | full]),
    ):
        if rows:
            lines += ["", f"{what}: {'; '.join(rows)}."]
    return "\n".join(lines)


def page(tables: dict[str, Table], folder: Path) -> str:
    """The whole of RESULTS.md."""
    return "\n\n".join([HEAD.rstrip(), *(section(name, table, folder) for name, table in tables.items())]) + "\n"
