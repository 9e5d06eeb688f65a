"""Coming back to a run folder: measure its model again, or draw from it."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from pyro_mixvae import figures
from pyro_mixvae.models import MixtureVAE
from pyro_mixvae.serialization import load
from pyro_mixvae.training.checks import check_seed, prepare_folder
from pyro_mixvae.training.evaluation import Evaluation, evaluate, seen
from pyro_mixvae.training.image_quality import image_scores, open_features
from pyro_mixvae.training.recipe import Recipe, read_recipe
from pyro_mixvae.training.report import png
from pyro_mixvae.training.run import open_data, write_results

#: What :func:`sample_run` can write.
SAMPLE_FILES = (".png", ".npy")


@dataclass(frozen=True)
class FinishedRun:
    """A run folder, read.

    Attributes:
        folder: where it is.
        recipe: its settings.
        config: the whole of its ``config.yaml``.
        model: the trained model, in evaluation mode.
        history: one row for each epoch, from ``metrics.csv``.
    """

    folder: Path
    recipe: Recipe
    config: dict[str, Any]
    model: MixtureVAE
    history: list[dict[str, float]]


def open_run(folder: str | Path) -> FinishedRun:
    """Read a run folder that ``pyro-mixvae train`` left.

    Raises:
        ValueError: for a folder without ``config.yaml`` or a finished ``model/``, or with damaged files.
    """
    folder = Path(folder)
    for needed in ("config.yaml", "model"):
        if not (folder / needed).exists():
            raise ValueError(f"run: {folder} has no {needed}; expected a folder that 'pyro-mixvae train' has finished")
    recipe = read_recipe(str(folder / "config.yaml"))
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    return FinishedRun(folder, recipe, config, load(folder / "model"), _history(folder / "metrics.csv"))


def evaluate_run(
    run: FinishedRun,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    download: bool = False,
    num_samples: int = 500,
    seed: int | None = None,
    features: str | None = None,
) -> Evaluation:
    """Measure a finished run's model on held-out data, and write ``results.json``, ``report.html`` and figures.

    Args:
        run: see :func:`open_run`.
        out: where to write; None: over the run's own files.
        data_dir: where data files lie.
        download: fetch missing data files.
        num_samples: draws for each datum of the importance-sampled log-likelihood.
        seed: of those draws and of the samples shown; None: the run's own.
        features: a network to measure samples with as images, see
            :func:`~pyro_mixvae.training.image_quality.open_features`.

    Raises:
        ValueError: for data or a folder that cannot be used.
    """
    seed = run.recipe.seed or 0 if seed is None else seed
    check_seed(seed)
    network = None if features is None else open_features(features)
    folder = prepare_folder(out or run.folder)
    data = open_data(run.recipe, data_dir, download)
    evaluation = evaluate(run.model, data, run.history, num_samples, seed)
    if network is not None:
        evaluation.results.update(image_scores(run.model, run.recipe, network, data_dir, seed))
    write_results(folder, run.recipe, {**run.config, "seed": seed}, evaluation, {})
    return evaluation


def sample_run(run: FinishedRun, out: str | Path, num: int = 100, component: int | None = None, seed: int = 0) -> Path:
    """Draw from a finished run's model.

    Args:
        run: see :func:`open_run`.
        out: ``.png`` for a picture, of points where the data are no images [C, H, W] with C 1 or 3 or [H, W];
            ``.npy`` for the numbers, [num, \\*event_shape].
        num: how many.
        component: draw from this mixture component only.
        seed: of the draws; the caller's random state is left alone.

    Returns:
        the file.

    Raises:
        ValueError: for another kind of file, a component that there is not, or a folder that cannot be written to.
    """
    out = Path(out)
    if out.suffix not in SAMPLE_FILES:
        raise ValueError(f"out: expected a file ending in {' or '.join(SAMPLE_FILES)}, got {out.name!r}")
    check_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        samples = run.model.sample(num, component=component)
    prepare_folder(out.parent)
    if out.suffix == ".npy":
        np.save(out, samples.numpy(), allow_pickle=False)
    else:
        low, high = run.recipe.sections["data"].get("value_range", (0.0, 1.0))
        out.write_bytes(png(_picture(samples, (low, high))))
    return out


def _picture(samples: Tensor, value_range: tuple[float, float]) -> Any:
    shown = seen(samples)
    if shown.dim() == 4:
        return figures.image_grid(shown, value_range=value_range)
    return figures.component_samples(shown.unsqueeze(0))


def _history(path: Path) -> list[dict[str, float]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    try:
        return [{name: float(value) for name, value in row.items() if value not in ("", None)} for row in rows]
    except (TypeError, ValueError) as error:
        raise ValueError(f"run: {path} is not a table of numbers: {error}") from error
