"""One recipe at several values of an option, and which of them validation data would have."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyro_mixvae import figures
from pyro_mixvae.training.checkpoints import replace_file
from pyro_mixvae.training.checks import prepare_folder
from pyro_mixvae.training.finished_run import open_run
from pyro_mixvae.training.image_quality import NamedNetwork, image_scores
from pyro_mixvae.training.options import apply_options
from pyro_mixvae.training.recipe import Recipe, read_recipe
from pyro_mixvae.training.report import png
from pyro_mixvae.training.resume import check_recipe
from pyro_mixvae.training.run import open_data, train

#: The row that decides: the validation objective at weight 1, in nats per datum.
CRITERION = "criterion"


@dataclass(frozen=True)
class Sweep:
    """What :func:`sweep` leaves behind.

    Attributes:
        option: what was varied, such as ``"objective.scale"``.
        values: its values, as they were given.
        rows: for each value numbers by name: ``"criterion"``, the terms on validation data, and results on test data.
        chosen: the value with the smallest criterion.
        folder: holds a run folder for each value, ``sweep.json``, ``sweep.md`` and ``trade_off.png``.
    """

    option: str
    values: tuple[str, ...]
    rows: list[dict[str, float]] = field(default_factory=list)
    folder: Path = Path()

    @property
    def chosen(self) -> str:
        return self.values[min(range(len(self.rows)), key=lambda number: self.rows[number][CRITERION])]

    def table(self) -> list[list[str]]:
        """A header, then one line for each value; the chosen one has a star."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        lines = []
        for value, row in zip(self.values, self.rows, strict=True):
            shown = [f"{row[name]:.3f}" if name in row else "" for name in names]
            lines.append([value + (" *" if value == self.chosen else ""), *shown])
        return [[self.option, *names], *lines]


def parse_over(text: str) -> tuple[str, list[str]]:
    """What ``--over`` says: an option and its values.

    Raises:
        ValueError: unless that is ``SECTION.OPTION=VALUE,VALUE,...`` with two different values or more.

    >>> parse_over("objective.scale=0.1,1,10")
    ('objective.scale', ['0.1', '1', '10'])
    """
    option, _, listed = text.partition("=")
    values = [value.strip() for value in listed.split(",") if value.strip()]
    if "." not in option or len(values) < 2 or len(set(values)) < len(values):
        raise ValueError(f"--over: got {text!r}; expected SECTION.OPTION=VALUE,VALUE,... with different values")
    return option.strip().removeprefix("--"), values


def sweep(
    recipe: Recipe,
    option: str,
    values: Sequence[str],
    arguments: Sequence[str] = (),
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    download: bool = False,
    seed: int = 0,
    progress: bool = True,
    compile: bool = False,
    features: NamedNetwork | None = None,
) -> Sweep:
    """Train a recipe at each value of an option, and choose among them by validation data.

    The criterion is the validation objective at the end of each training (at its best epoch, where the recipe stops
    early), which is taken at weight 1 whatever the training's: for a CSRAE

    .. math:: -\\mathbb{E} \\log p(x \\mid z) + D_{CS}

    A run that is finished is not made again, one that was stopped goes on from its last checkpoint: the same call does
    it.

    Args:
        recipe: the settings.
        option: such as ``"objective.scale"``.
        values: as one would type them on the command line.
        arguments: further options of ``pyro-mixvae train``.
        out: the folder; None: ``runs/<recipe>/sweep-<option>``.
        data_dir, download, seed, progress, compile: as for :func:`~pyro_mixvae.training.run.train`.
        features: a network to measure samples with.

    Raises:
        ValueError: before any training, for an option or a value that there is not, data without a validation part, or
            a folder with runs of other settings.

    Source: Tran, Pantic, Deisenroth, section 3.1 (corrected) and figure 3.
    """
    recipes = [apply_options(recipe, [*arguments, f"--{option}={value}"])[0] for value in values]
    for changed in recipes:
        data = open_data(changed, data_dir, download)
        if data.validation is None:
            raise ValueError(
                f"sweep: values are chosen by validation data, but {data.name} has none; see --data.split or "
                "--data.validation"
            )
        del data
    folder = prepare_folder(out or Path("runs") / recipe.name / f"sweep-{option}")
    places = [folder / f"{option}={value}" for value in values]
    for place, changed in zip(places, recipes, strict=True):
        _check_same(place, changed, seed)
    result = Sweep(option, tuple(values), folder=folder)
    for place, changed in zip(places, recipes, strict=True):
        if not (place / "results.json").exists():
            stopped = (place / "config.yaml").exists()
            train(changed, place, data_dir, download, seed, progress, compile, resume=stopped)
        result.rows.append(_row(place, changed, features, data_dir, seed))
    _write(result, features)
    return result


def _check_same(place: Path, now: Recipe, seed: int) -> None:
    """Refuse to take a run of other settings for one of this sweep."""
    if (place / "config.yaml").exists():
        saved = read_recipe(str(place / "config.yaml"))
        try:
            check_recipe(saved, Recipe(now.name, now.description, now.sections, seed))
        except ValueError as error:
            raise ValueError(f"sweep: {place} is a run of other settings: {error}; choose another --out") from error


def _row(
    place: Path, recipe: Recipe, features: NamedNetwork | None, data_dir: str | Path | None, seed: int
) -> dict[str, float]:
    run = open_run(place)
    epochs = [row for row in run.history if math.isfinite(row.get("validation/loss", math.nan))]
    if not epochs:
        raise ValueError(f"sweep: {place / 'metrics.csv'} holds no validation loss")
    early = recipe.sections["trainer"].get("patience") is not None
    last = min(epochs, key=lambda row: row["validation/loss"]) if early else epochs[-1]
    row = {CRITERION: last["validation/loss"]}
    for name, value in last.items():
        part, _, term = name.partition("/")
        if part == "validation" and term != "loss":
            row[term] = value
    results = json.loads((place / "results.json").read_text(encoding="utf-8"))["results"]
    own = results[recipe.sections["model"]["class"]]
    row |= {name: own[name] for name in ("log-likelihood", "classification error (%)") if name in own}
    if features is not None:
        row |= image_scores(run.model, recipe, features, data_dir, seed)
    return row


def _write(result: Sweep, features: NamedNetwork | None) -> None:
    content: dict[str, Any] = {
        "option": result.option,
        "chosen": result.chosen,
        "criterion": "validation objective at weight 1, nats per datum",
        "features": None if features is None else features.name,
        "runs": dict(zip(result.values, result.rows, strict=True)),
    }
    text = json.dumps(content, indent=2) + "\n"
    replace_file(result.folder / "sweep.json", lambda file: file.write(text.encode()))
    header, *lines = result.table()
    rows = [header, ["---"] * len(header), *lines]
    note = (
        "* chosen: the smallest criterion, the validation objective at weight 1. Terms are of validation data, the rest"
    )
    page = "\n".join("| " + " | ".join(row) + " |" for row in rows) + f"\n\n{note} of test data; nats per datum.\n"
    replace_file(result.folder / "sweep.md", lambda file: file.write(page.encode()))
    replace_file(result.folder / "trade_off.png", lambda file: file.write(png(trade_off(result))))


def trade_off(result: Sweep) -> Any:
    """The figure of a sweep, like the paper's figure 3: each number against the option's value."""
    try:
        positions: list[float] | None = [float(value) for value in result.values]
    except ValueError:
        positions = None
    shown = [name for name in result.rows[0] if "sd" not in name]
    series = {name: [row.get(name, math.nan) for row in result.rows] for name in shown}
    chosen = result.values.index(result.chosen)
    return figures.trade_off(series, positions, list(result.values), chosen, option=result.option)
