"""What a table of a paper is: rows of recipes, and the paper's numbers beside ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyro_mixvae.training.recipe import Recipe

#: What the names of short trainings end in.
SHORT = ".short"
ROOT = Path(__file__).parents[2]


def place_of(recipe: str) -> str:
    """The name of one of the package's recipes, or where a file of this project is."""
    return str(ROOT / recipe) if recipe.endswith(".yaml") else recipe


@dataclass(frozen=True)
class Row:
    """One row: a recipe, what is changed in it, and what the paper prints.

    Attributes:
        name: short, as typed after ``--rows``.
        title: as shown.
        recipe: one of the package, or a file of this project where its name ends in ``.yaml``.
        options: what is changed in it, as on the command line, without the leading dashes.
        paper: the paper's numbers by the name of our metric.
        note: a sentence on what differs from the paper.
        short: what is changed further in a training that is short enough for a CPU.
        same_as: table and name, joined by a dash, of another table's row that is the same training; it is run once.
    """

    name: str
    title: str
    recipe: str
    options: Mapping[str, object] = field(default_factory=dict)
    paper: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    short: Mapping[str, object] = field(default_factory=dict)
    same_as: str = ""

    def arguments(self, short: bool = False) -> list[str]:
        """The changes as command-line options."""
        changes = {**self.options, **(self.short if short else {})}
        return [f"--{name}={value}" for name, value in changes.items()]

    def record(self, table: str, short: bool = False) -> str:
        """What the files of its results are called, up to the seed."""
        return f"{self.same_as or f'{table}-{self.name}'}{SHORT if short else ''}"


@dataclass(frozen=True)
class Table:
    """One table of one paper.

    Attributes:
        title: with the paper's name.
        metrics: the columns: names of our results.
        rows: in the order shown.
        choice: how settings were chosen, and on which data.
        short: what a short training differs in; empty where there is none.
        features: the recipe of the classifier whose features measure samples; empty: they are not measured.
        scores: what else is measured of a model, from its recipe and the folder of data.
        prepare: what is done first with the folder of data.
        differs: a sentence on where ours and the paper's numbers differ, and why.
    """

    title: str
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    choice: str
    short: str = ""
    features: str = ""
    scores: Callable[[Any, Recipe, str | None], Mapping[str, float]] | None = None
    prepare: Callable[[str | None], None] | None = None
    differs: str = ""

    def row(self, name: str) -> Row:
        """The row of that name.

        Raises:
            ValueError: where there is none.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise ValueError(f"--rows: there is no row {name!r}; there are {', '.join(row.name for row in self.rows)}")
