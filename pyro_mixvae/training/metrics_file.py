"""metrics.csv: every term of the objective at each epoch."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only


class MetricsFile(Logger):
    """A Lightning logger that appends one row for each epoch to a CSV file whose columns the first row decides.

    Args:
        path: the file; an existing one is continued by a resumed run and replaced by a new one.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._columns: list[str] = []

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def version(self) -> int:
        return 0

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the configuration has a file of its own."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        row = {"epoch": step, **metrics}
        if not self._columns:
            self._columns = list(row)
            with self.path.open("w", newline="") as file:
                csv.writer(file).writerow(self._columns)
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self._columns, extrasaction="ignore").writerow(row)

    @rank_zero_only
    def restore(self, history: list[dict[str, float]]) -> None:
        """Write the rows of a run that is resumed."""
        self._columns = []
        for row in history:
            self.log_metrics({name: value for name, value in row.items() if name != "epoch"}, int(row["epoch"]))
