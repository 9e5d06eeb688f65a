"""The options of a recipe's sections, as the command line shows them; a recipe's settings are their defaults."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, Namespace
from lightning.pytorch import Trainer

from pyro_mixvae.data.loading import SOURCES
from pyro_mixvae.training.recipe import Recipe

#: What Lightning's trainer takes but fit decides, or what hand-made steps have no use for.
DECIDED_BY_FIT = {
    "logger", "callbacks", "accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm",
    "enable_progress_bar", "enable_checkpointing", "enable_model_summary", "num_sanity_val_steps", "log_every_n_steps",
    "plugins", "profiler", "fast_dev_run", "overfit_batches", "barebones", "model_registry", "enable_autolog_hparams",
    "reload_dataloaders_every_n_epochs", "default_root_dir", "limit_test_batches", "limit_predict_batches",
    "use_distributed_sampler", "val_check_interval", "min_steps", "max_steps", "min_epochs",
}  # fmt: skip

#: Arguments of a data source that :func:`pyro_mixvae.data.load` fills in itself.
SHARED_DATA_ARGUMENTS = {"path", "data_dir", "download", "seed"}


@dataclass
class OptimizerOptions:
    """Optimiser.

    Args:
        name: adam, adamw, sgd or rmsprop.
        lr: learning rate.
        betas: decay rates of Adam's moments.
        weight_decay: weight decay.
        schedule: learning rate over the training: cosine or linear, both to 0; constant if left out.
        clip: largest gradient norm of each update; any if left out.
        accumulate: batches whose gradients are averaged for one step.
    """

    name: str = "adam"
    lr: float = 1e-3
    betas: list[float] | None = None
    weight_decay: float | None = None
    schedule: str | None = None
    clip: float | None = None
    accumulate: int = 1


class OneLineParser(ArgumentParser):
    """A parser whose errors are a ``ValueError`` of one line that proposes the nearest right option."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        text = " ".join(str(ex or message).split())
        if "nrecognized arguments" in text:
            wrong = next((word for word in text.split() if word.startswith("--")), text.split()[-1])
            name = wrong.split("=")[0]
            near = difflib.get_close_matches(name, self._option_string_actions, n=2, cutoff=0.6)
            text = f"no option {name}" + (f"; did you mean {' or '.join(near)}?" if near else "; see --help")
        raise ValueError(text)


def recipe_parser(recipe: Recipe, data_name: str | None = None) -> OneLineParser:
    """A parser of every option of a recipe, with the recipe's own settings as defaults.

    Args:
        recipe: the settings to start from.
        data_name: the data set whose own options are offered; None: the recipe's.
    """
    parser = OneLineParser(
        prog=f"pyro-mixvae train {recipe.name}",
        description=recipe.description,
        allow_abbrev=False,
        default_env=False,
    )
    parser.add_argument("--out", type=str | None, help="run folder; runs/RECIPE/TIME if left out")
    parser.add_argument("--data-dir", type=str | None, help="folder with data files; $PYRO_MIXVAE_DATA if left out")
    parser.add_argument("--download", action="store_true", help="fetch missing data files")
    parser.add_argument("--seed", type=int, default=recipe.seed or 0, help="of weights, order of the data and noise")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    cls = recipe.model_class
    names = [name for name in inspect.signature(cls.__init__).parameters if name not in ("self", "event_shape")]
    objective: set[str | int] = {*cls.objective_options}
    # an argument without a type in a library's signature is not our caller's mistake
    untyped: dict[str, Any] = {"fail_untyped": False}
    parser.add_class_arguments(cls, "model", skip={"event_shape", *objective}, **untyped)
    parser.add_class_arguments(cls, "objective", skip={"event_shape", *names} - objective, **untyped)
    parser.add_argument(
        "--objective.warmup",
        type=dict | None,
        help="weight of divergences: epochs or steps, sites, start and end",
    )
    source = (data_name or recipe.sections["data"].get("name", "digits")).partition(":")[0]
    if source in SOURCES:
        module, function = SOURCES[source].split(":")
        make = getattr(importlib.import_module(f"pyro_mixvae.data.{module}"), function)
        parser.add_function_arguments(make, "data", skip={*SHARED_DATA_ARGUMENTS}, **untyped)
    parser.add_argument("--data.name", type=str, default="digits", help="data set: digits, mnist, ... folder:PATH")
    parser.add_argument("--data.batch_size", type=int, default=100, help="data in a batch")
    parser.add_argument("--data.binarize", type=str, default="none", help="none, static, or dynamic (at each visit)")
    parser.add_class_arguments(OptimizerOptions, "optimizer")
    parser.add_class_arguments(Trainer, "trainer", skip={*DECIDED_BY_FIT}, **untyped)
    parser.add_argument("--trainer.patience", type=int | None, help="stop after so many epochs without improvement")
    return parser


def apply_options(recipe: Recipe, arguments: Sequence[str]) -> tuple[Recipe, Namespace]:
    """A recipe changed by command-line options, and the options outside its sections.

    Raises:
        ValueError: for an option that there is not (says the nearest one) or a value of the wrong type.
    """
    parser = recipe_parser(recipe, _value_of("--data.name", arguments))
    untouched = parser.get_defaults()
    defaults = {
        f"{section}.{name}": value
        for section, settings in recipe.sections.items()
        for name, value in settings.items()
        if (section, name) != ("model", "class")
    }
    for key in defaults:
        if key not in untouched:
            raise ValueError(f"recipe {recipe.name}: there is no setting {key}")
    parser.set_defaults(defaults)
    chosen = parser.parse_args(list(arguments))
    sections = {
        section: {
            **({"class": settings["class"]} if section == "model" else {}),
            **{
                name: value
                for name, value in chosen[section].as_dict().items()
                if name in settings or value != untouched[f"{section}.{name}"]
            },
        }
        for section, settings in recipe.sections.items()
    }
    return Recipe(recipe.name, recipe.description, sections, chosen.seed), chosen


def _value_of(option: str, arguments: Sequence[str]) -> str | None:
    for position, argument in enumerate(arguments):
        if argument.startswith(f"{option}="):
            return argument.partition("=")[2]
        if argument == option and position + 1 < len(arguments):
            return arguments[position + 1]
    return None
