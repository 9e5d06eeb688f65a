"""The options of a recipe's sections, as the command line shows them; a recipe's settings are their defaults."""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import operator
import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Union, get_args, get_origin, get_type_hints

from docstring_parser import parse as parse_docstring
from jsonargparse import ArgumentParser, Namespace
from lightning.pytorch import Trainer

from pyro_mixvae.data import names as data_names
from pyro_mixvae.data.loading import SOURCES
from pyro_mixvae.models import SemiSupervisedCSRAE
from pyro_mixvae.training.recipe import Recipe

#: What of Lightning's trainer the command line offers; :func:`fit` passes everything else on, too.
TRAINER_OPTIONS = {
    "accelerator": "cpu, gpu, mps, ... or auto",
    "devices": "how many of them, or the list of their numbers",
    "strategy": "how several devices work together: auto, ddp, ...",
    "num_nodes": "machines that work together",
    "precision": "32-true, 64-true, bf16-mixed, ...",
    "max_time": "stop after DD:HH:MM:SS",
    "limit_train_batches": "batches of an epoch: a number, or a fraction of all",
    "limit_val_batches": "batches of a validation: a number, or a fraction of all",
    "check_val_every_n_epoch": "epochs between validations",
    "deterministic": "refuse operations whose result is not the same every time",
    "benchmark": "let cuDNN look for the fastest algorithm",
    "detect_anomaly": "name the operation that makes a gradient NaN (slow)",
    "sync_batchnorm": "batch norm over all devices together",
}

#: What comes before the training proper, for models that have it.
PRETRAINING = "epochs without labels before the training with them"
PHASE_OPTIONS = {
    "pretraining_epochs": "epochs with the prior N(0, I) before the mixture is started from the encoded data",
    "seeding_epochs": "epochs of natural-gradient steps alone after that",
}

#: Arguments of a data source that :func:`pyro_mixvae.data.load` fills in itself.
SHARED_DATA_ARGUMENTS = {"path", "data_dir", "download", "seed"}

#: For a data source whose own documentation refers to another's.
DATA_HELP = {"split": "training, validation and test counts"}


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
            # --epochs is --trainer.max_epochs, whose section one need not know
            near = [option for option in self._option_string_actions if option.endswith(name.lstrip("-"))][:2] or near
            text = f"no option {name}" + (f"; did you mean {' or '.join(near)}?" if near else "; see --help")
        raise ValueError(_readable(text))


def recipe_parser(recipe: Recipe, data_name: str | None = None) -> OneLineParser:
    """A parser of every option of a recipe, with the recipe's own settings as defaults.

    Args:
        recipe: the settings to start from.
        data_name: the data set whose own options are offered; None: the recipe's.
    """
    parser = OneLineParser(
        prog=f"pyro-mixvae train {recipe.name}",
        usage="%(prog)s [options]",
        description=recipe.description,
        allow_abbrev=False,
        default_env=False,
    )
    parser.add_argument("--out", type=str | None, metavar="DIR", help="run folder; runs/RECIPE/TIME if left out")
    parser.add_argument(
        "--data-dir", type=str | None, metavar="DIR", help="folder with data files; $PYRO_MIXVAE_DATA if left out"
    )
    parser.add_argument("--download", action="store_true", help="fetch missing data files")
    parser.add_argument(
        "--seed", type=int, default=recipe.seed or 0, metavar="N", help="of weights, order of the data and noise"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument(
        "--logger", type=str | None, metavar="NAME", help="tensorboard or wandb, besides the run folder's metrics.csv"
    )
    parser.add_argument("--compile", action="store_true", help="compile the objective; pays in trainings of minutes")
    parser.add_argument(
        "--on-nan",
        type=str | None,
        metavar="HOW",
        help="at a loss that is not finite: raise (end the training, the default), or skip the batch and count it",
    )

    cls = recipe.model_class
    model = parser.add_argument_group(f"model: {cls.__name__}")
    _add(model, "model", cls, _taken(cls, {"event_shape", *cls.objective_options}))
    objective = parser.add_argument_group("objective")
    _add(objective, "objective", cls, [name for name in _taken(cls) if name in cls.objective_options])
    objective.add_argument(
        "--objective.warmup",
        type=dict[str, float | list[str]] | None,
        metavar="{...}",
        help="weight of divergences in the first part of the training: epochs or steps, sites, start and end",
    )

    data = parser.add_argument_group("data")
    data.add_argument("--data.name", type=str, default="digits", metavar="NAME", help=", ".join(data_names()))
    data.add_argument("--data.batch_size", type=int, default=100, metavar="N", help="data in a batch")
    data.add_argument(
        "--data.labelled_per_batch", type=int | None, metavar="N", help="data of a batch that have a label"
    )
    data.add_argument("--data.balanced", type=bool, default=False, metavar="BOOL", help="draw those by label")
    data.add_argument(
        "--data.binarize", type=str, default="none", metavar="HOW", help="none, static, or dynamic (at each visit)"
    )
    data.add_argument(
        "--data.value_range",
        type=list[float],
        default=[0.0, 1.0],
        metavar="[LOW, HIGH]",
        help="values of black and white",
    )
    data.add_argument(
        "--data.labelled", type=float, default=1.0, metavar="X", help="share of the training data with labels"
    )
    data.add_argument(
        "--data.rotation", type=float, default=0.0, metavar="X", help="turn training images by so many degrees at most"
    )
    data.add_argument(
        "--data.shift", type=float, default=0.0, metavar="X", help="shift training images by so many pixels at most"
    )
    data.add_argument("--data.flips", type=bool, default=False, metavar="BOOL", help="mirror training images at random")
    source = str(data_name or recipe.sections["data"].get("name", "digits")).partition(":")[0]
    if source in SOURCES:
        module, function = SOURCES[source].split(":")
        make = getattr(importlib.import_module(f"pyro_mixvae.data.{module}"), function)
        _add(data, "data", make, _taken(make, SHARED_DATA_ARGUMENTS), DATA_HELP)

    _add(parser.add_argument_group("optimizer"), "optimizer", OptimizerOptions, _taken(OptimizerOptions))
    trainer = parser.add_argument_group("trainer")
    trainer.add_argument("--trainer.max_epochs", type=int, metavar="N", help="how often each datum is seen")
    trainer.add_argument(
        "--trainer.patience",
        type=int | None,
        metavar="N",
        help="stop after so many epochs, counted after the warm-up, without a better validation loss, and go back to "
        "the best",
    )
    if issubclass(cls, SemiSupervisedCSRAE):
        trainer.add_argument("--trainer.pretraining_epochs", type=int, default=0, metavar="N", help=PRETRAINING)
    elif hasattr(cls, "pretraining"):
        for name, text in PHASE_OPTIONS.items():
            trainer.add_argument(f"--trainer.{name}", type=int, default=0, metavar="N", help=text)
        trainer.add_argument(
            "--trainer.pretraining_kl", type=float | None, metavar="X", help="weight of that prior's KL before"
        )
    _add(trainer, "trainer", Trainer, TRAINER_OPTIONS, TRAINER_OPTIONS)
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
            near = difflib.get_close_matches(key, [str(known) for known in untouched.keys()], n=2)  # noqa: SIM118
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise ValueError(f"recipe {recipe.name}: there is no setting {key}{hint}")
    # a recipe's settings are held to the options' types, too
    settings = {
        section: {n: v for n, v in values.items() if n != "class"} for section, values in recipe.sections.items()
    }
    checked = parser.parse_object(settings, defaults=False)
    parser.set_defaults({key: checked[key] for key in defaults})
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


def _readable(message: str) -> str:
    """What the parser says of a wrong value, without its inner names and the list of all that it tried."""
    found = re.match(r'Parser key "?([\w.]+)"?: (.*?)(?: Given value type:.*)? ?(?:Given|Got) value: ?(.*)', message)
    if found is None:
        return message
    option, expected, value = found.groups()
    value = re.sub(r"NestedArg\(key='(.*?)', val='?(.*?)'?\)", r"\1=\2", value)
    if plain := re.search(r"^Expected an? (?:<class '(?:[\w.]+\.)?(\w+)'>|(\w+))", expected):
        return f"--{option}: expected {plain[1] or plain[2]}, got {value or repr(value)}"
    return f"--{option}: cannot be {value}; see --help"


def _taken(function: Callable[..., Any], but: Iterable[str] = ()) -> list[str]:
    """The names of what a function or a class takes."""
    return [name for name in inspect.signature(function).parameters if name not in but]


def _add(
    group: Any, section: str, function: Callable[..., Any], names: Iterable[str], texts: dict[str, str] | None = None
) -> None:
    """Add an option for each of the named arguments, with its own type, default and documentation.

    The parser's own way would offer each of PyTorch's modules for a network, and print their list.
    """
    parameters = inspect.signature(function).parameters
    hints: dict[str, Any] = get_type_hints(function.__init__ if inspect.isclass(function) else function)
    if function is Trainer:
        hints["precision"] = str | None  # its own type is the list of all choices
    documented = _documented(function)
    for name in names:
        kind = _writable(hints[name])
        text = (texts or {}).get(name) if function is Trainer else documented.get(name) or (texts or {}).get(name)
        default = parameters[name].default
        group.add_argument(
            f"--{section}.{name}",
            type=kind,
            default=None if default is inspect.Parameter.empty else default,
            metavar=_metavar(kind),
            help=_plain(text or ""),
        )


def _documented(function: Callable[..., Any]) -> dict[str, str]:
    """What the docstring says of each argument; a class may leave that to those that it is derived from."""
    documents = [inspect.getdoc(function)]
    if inspect.isclass(function):
        documents = [parent.__dict__.get("__doc__") for parent in reversed(function.__mro__)]
    parsed = [parse_docstring(inspect.cleandoc(text)).params for text in documents if text]
    return {item.arg_name: item.description or "" for params in parsed for item in params}


def _writable(hint: Any) -> Any:
    """What of a type one can write on a command line: in a choice of types no modules, paths or other objects."""
    if get_origin(hint) not in (Union, types.UnionType):
        return hint
    written = [part for part in get_args(hint) if not isinstance(part, type) or part.__module__ == "builtins"]
    return functools.reduce(operator.or_, written)


def _metavar(kind: Any) -> str:
    parts = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    names = {int: "N", float: "X", bool: "BOOL", str: "NAME", list: "[...]", Mapping: "{...}", dict: "{...}"}
    return "|".join(dict.fromkeys(names[found] for part in parts if (found := get_origin(part) or part) in names))


def _plain(text: str) -> str:
    """A docstring's text without its markup."""
    text = re.sub(r":[a-z]+:`~?(?:[\w.]+\.)?([^`]+)`", r"\1", text)
    text = " ".join(text.replace("``", "").replace("\\*", "*").split())
    return re.sub(r"(?<!\.)\.$", "", text).replace("%", "%%")


def _value_of(option: str, arguments: Sequence[str]) -> str | None:
    for position, argument in enumerate(arguments):
        if argument.startswith(f"{option}="):
            return argument.partition("=")[2]
        if argument == option and position + 1 < len(arguments):
            return arguments[position + 1]
    return None
