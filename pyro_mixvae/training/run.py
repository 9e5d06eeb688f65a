"""A recipe from its settings to a run folder."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import json
import os
import platform
import resource
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml

from pyro_mixvae.data import DataSet
from pyro_mixvae.data import load as load_data
from pyro_mixvae.models import MixtureVAE, SemiSupervisedCSRAE
from pyro_mixvae.serialization import save
from pyro_mixvae.training import denormals
from pyro_mixvae.training.checkpoints import FOLDER, LAST, replace_file
from pyro_mixvae.training.checks import check_seed, prepare_folder
from pyro_mixvae.training.errors import CannotWrite, ProcessLost
from pyro_mixvae.training.evaluation import UNITS, Evaluation, evaluate
from pyro_mixvae.training.fit import fit
from pyro_mixvae.training.loggers import check_logger
from pyro_mixvae.training.processes import is_first_process
from pyro_mixvae.training.recipe import Recipe
from pyro_mixvae.training.report import png, render_report
from pyro_mixvae.training.resume import find_checkpoint
from pyro_mixvae.training.schedules import optimizer_by_name
from pyro_mixvae.training.start import first_phases
from pyro_mixvae.training.warmup import LinearWarmup

#: What a recipe's trainer section may say of the time before the training proper.
PHASES = ("pretraining_epochs", "pretraining_kl", "seeding_epochs")
#: What a recipe's data section may say of batches.
BATCHING = ("batch_size", "labelled_per_batch", "balanced")
PACKAGES = ("pyro-mixvae", "torch", "pyro-ppl", "lightning", "numpy", "scikit-learn")


@dataclass(frozen=True)
class Run:
    """What :func:`train` leaves behind.

    Attributes:
        folder: the run folder.
        model: the trained model.
        evaluation: results and figures on held-out data; None in all processes but the first.
        seconds: wall time by part.
    """

    folder: Path
    model: MixtureVAE
    evaluation: Evaluation | None
    seconds: dict[str, float] = field(default_factory=dict)


# from the first, so that it holds for all threads that torch starts
@denormals.flushed()
def train(
    recipe: Recipe,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    download: bool = False,
    seed: int = 0,
    progress: bool = True,
    compile: bool = False,
    resume: bool = False,
    on_nan: str = "raise",
    logger: str | None = None,
) -> Run:
    """Train what a recipe says, measure it, and write the run folder; of several processes only the first writes.

    Args:
        recipe: the settings.
        out: the run folder; None: ``runs/<recipe>/<time>``.
        data_dir: where data files lie.
        download: fetch missing data files.
        seed: of the model's initial weights, the order of the data and all noise.
        progress: show a bar.
        compile: compile the objective, see :func:`fit`.
        logger: besides ``metrics.csv``, see :func:`fit`.
        resume: go on in the folder ``out`` from its last checkpoint; from the beginning where it has none yet.
        on_nan: what is done at a loss that is not finite, see :func:`fit`.

    Raises:
        ValueError: before training, for settings, data or folders that cannot work.
        TrainingDiverged: at a loss that is not finite.
        CannotWrite: for a disk that has become full or a folder that is gone; says how to go on.
        ProcessLost: where another process of the training has ended; says how to go on.
        KeyboardInterrupt: at Ctrl-C; says how to go on.
    """
    start = time.perf_counter()
    check_seed(seed)
    data = open_data(recipe, data_dir, download)
    model = build_model(recipe, data, seed)
    options = {"compile": compile, "on_nan": on_nan, "logger": logger, **fit_options(recipe)}
    check_logger(logger, out or "")
    if out is not None and not resume and (Path(out) / FOLDER / LAST).exists():
        raise ValueError(f"out: {out} holds a training; go on with it by --resume {out}, or choose another folder")
    folder = (
        prepare_folder(out or _new_folder(recipe.name)) if is_first_process() else Path(out or tempfile.gettempdir())
    )
    config = {
        "name": recipe.name,
        "description": recipe.description,
        **recipe.sections,
        "seed": seed,
        "options": {
            "compile": compile,
            "data_dir": None if data_dir is None else str(data_dir),
            "on_nan": on_nan,
            "logger": logger,
        },
        "made_with": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }
    if is_first_process():
        text = yaml.safe_dump(config, sort_keys=False, width=100).encode()
        replace_file(folder / "config.yaml", lambda file: file.write(text))
    seconds = {"set-up": time.perf_counter() - start}

    with _say_how_to_go_on(folder):
        phases = {name: options.pop(name) for name in PHASES if name in options}
        checkpoint = find_checkpoint(folder) if resume and (folder / FOLDER / LAST).exists() else None
        if phases and checkpoint is None:
            start = time.perf_counter()
            first_phases(model, data, seed=seed, progress=progress, **phases, **options)
            seconds["first phases"] = time.perf_counter() - start
        if phases.get("pretraining_epochs") and isinstance(model, SemiSupervisedCSRAE):
            options.pop("warmup", None)  # it was made in the first phase
        result = fit(model, data, seed=seed, out=folder, resume=checkpoint, progress=progress, **options)
        seconds["training"] = result.seconds
        if not is_first_process():
            return Run(folder, model, None, seconds)
        _save(model, folder / "model")
        model.cpu()

        start = time.perf_counter()
        evaluation = evaluate(model, data, result.history, seed=seed)
        seconds["evaluation"] = time.perf_counter() - start
        write_results(folder, recipe, config, evaluation, seconds)
    return Run(folder, model, evaluation, seconds)


@contextlib.contextmanager
def _say_how_to_go_on(folder: Path) -> Iterator[None]:
    how = f"to go on: pyro-mixvae train --resume {shlex.quote(str(folder))}"
    try:
        yield
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(f"{stop}; {how}" if str(stop) else f"stopped; {how}") from None
    except OSError as error:
        raise CannotWrite(f"{error}; {how}") from error
    except ProcessLost as error:
        raise ProcessLost(f"{error}; {how}" if is_first_process() else str(error)) from error


def _save(model: MixtureVAE, folder: Path) -> None:
    try:
        save(model, folder)
    except ValueError as error:
        if error.__cause__ is None:
            raise
        raise CannotWrite(f"cannot write the model: {error}; the last checkpoint is untouched") from error


def open_data(recipe: Recipe, data_dir: str | Path | None = None, download: bool = False) -> DataSet:
    """The recipe's data set."""
    options = {name: value for name, value in recipe.sections["data"].items() if name not in BATCHING}
    if not isinstance(options.get("name"), str):
        raise ValueError("data.name: missing; for instance 'digits'")
    return load_data(options.pop("name"), data_dir=data_dir, download=download, **options)


def build_model(recipe: Recipe, data: DataSet, seed: int) -> MixtureVAE:
    """The recipe's model for data of that shape; the caller's random state is left alone."""
    arguments = {name: value for name, value in recipe.sections["model"].items() if name != "class"}
    arguments |= {name: value for name, value in recipe.sections["objective"].items() if name != "warmup"}
    cls = recipe.model_class
    if "num_data" in inspect.signature(cls).parameters:
        arguments.setdefault("num_data", len(data.train))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            model = cls(event_shape=data.event_shape, **arguments)
        except TypeError as error:
            raise ValueError(f"model: {cls.__name__} {str(error).split('() ')[-1]}") from error
        if callable(start := getattr(model, "start_from_data", None)):
            start(data.train.values())
    return model


def fit_options(recipe: Recipe) -> dict[str, Any]:
    """The keyword arguments of :func:`fit` that a recipe decides."""
    optimizer = dict(recipe.sections["optimizer"])
    own = ("schedule", "clip", "accumulate")
    options: dict[str, Any] = {name: optimizer.pop(name) for name in own if name in optimizer}
    warmup = recipe.sections["objective"].get("warmup")
    if warmup is not None:
        if not isinstance(warmup, Mapping) or not warmup.keys() <= {
            "epochs",
            "steps",
            "sites",
            "start",
            "end",
        }:
            raise ValueError(f"objective.warmup: expected a mapping with epochs or steps, got {warmup!r}")
        options["warmup"] = LinearWarmup(**warmup)
    trainer = recipe.sections["trainer"]
    if "max_epochs" not in trainer:
        raise ValueError("trainer.max_epochs: missing")
    batching = {name: value for name, value in recipe.sections["data"].items() if name in BATCHING}
    return {**batching, "optimizer": optimizer_by_name(**optimizer), **options, **trainer}


def _new_folder(name: str) -> Path:
    """A folder that there is not yet, named after the time; several runs may start in one second."""
    base = Path("runs") / name / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    numbered = (base.with_name(f"{base.name}_{number}") for number in itertools.count(2))
    return next(folder for folder in itertools.chain([base], numbered) if not folder.exists())


def peak_memory_mib() -> float:
    """The most memory that this process has held, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def write_results(
    folder: Path, recipe: Recipe, config: dict[str, Any], evaluation: Evaluation, seconds: dict[str, float]
) -> None:
    """Write ``results.json``, ``report.html`` and the figures; ``seconds`` gains the time of the figures."""
    start = time.perf_counter()
    pictures = {name: png(figure) for name, figure in evaluation.figures.items()}
    for name, content in pictures.items():
        (folder / f"{name}.png").write_bytes(content)
    seconds["figures"] = time.perf_counter() - start
    name = recipe.sections["model"]["class"]
    results = {
        "recipe": recipe.name,
        "seed": config["seed"],
        "part": evaluation.part,
        "results": {name: evaluation.results, **evaluation.baselines},
        "seconds": seconds,
        "peak_memory_mib": peak_memory_mib(),
    }
    (folder / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    facts = {
        "measured on": f"the {evaluation.part} part of {config['data']['name']}",
        "time": ", ".join(f"{part} {value:.1f} s" for part, value in seconds.items()),
        "peak memory": f"{peak_memory_mib():.0f} MiB",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": ", ".join(f"{package} {number}" for package, number in config["made_with"].items()),
    }
    page = render_report(recipe.name, recipe.description, evaluation.table(name), UNITS, pictures, config, facts)
    (folder / "report.html").write_text(page, encoding="utf-8")
