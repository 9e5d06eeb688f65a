"""metrics.csv: every term of the objective at each epoch."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from pyro_mixvae.training.errors import CannotWrite


class MetricsFile(Logger):
    """A Lightning logger that appends one row for each epoch to a CSV file; a new column is empty in earlier rows.

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
        new = [name for name in row if name not in self._columns]
        rows: list[dict[str, Any]] = [row]
        # the first validation may come epochs after the first row
        try:
            if new and self._columns:
                with self.path.open(newline="", encoding="utf-8") as file:
                    rows = [*csv.DictReader(file), row]
            self._columns += new
            with self.path.open("w" if new else "a", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, self._columns)
                if new:
                    writer.writeheader()
                writer.writerows(rows)
        except OSError as error:
            raise CannotWrite(
                f"cannot write {self.path}: {error.strerror}; the last checkpoint is untouched"
            ) from error

    @rank_zero_only
    def restore(self, history: Iterable[dict[str, float]]) -> None:
        """Write the rows of a run that is resumed."""
        self._columns = []
        for row in history:
            self.log_metrics({name: value for name, value in row.items() if name != "epoch"}, int(row["epoch"]))
