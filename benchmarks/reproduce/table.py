"""What a table of a paper is: rows of recipes, and the paper's numbers beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """One row: a recipe, what is changed in it, and what the paper prints.

    Attributes:
        name: short, as typed after ``--rows``.
        title: as shown.
        recipe: of the package.
        options: what is changed in it, as on the command line, without the leading dashes.
        paper: the paper's numbers by the name of our metric.
        note: a sentence on what differs from the paper.
    """

    name: str
    title: str
    recipe: str
    options: Mapping[str, object] = field(default_factory=dict)
    paper: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    def arguments(self) -> list[str]:
        """The changes as command-line options."""
        return [f"--{name}={value}" for name, value in self.options.items()]


@dataclass(frozen=True)
class Table:
    """One table of one paper.

    Attributes:
        title: with the paper's name.
        metrics: the columns: names of our results.
        rows: in the order shown.
        choice: how settings were chosen, and on which data.
    """

    title: str
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    choice: str

    def row(self, name: str) -> Row:
        """The row of that name.

        Raises:
            ValueError: where there is none.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise ValueError(f"--rows: there is no row {name!r}; there are {', '.join(row.name for row in self.rows)}")
