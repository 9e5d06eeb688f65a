"""What a shell may complete: commands, recipes, and the options of every recipe."""

from __future__ import annotations

import argparse

import shtab

from pyro_mixvae.training.options import recipe_parser
from pyro_mixvae.training.recipe import read_recipe, recipe_names

SHELLS = ("bash", "zsh", "tcsh")


def completion_script(shell: str) -> str:
    """The script that a shell reads.

    Args:
        shell: one of :data:`SHELLS`.
    """
    return str(shtab.complete(_command_line(), shell=shell))


def _command_line() -> argparse.ArgumentParser:
    """All commands and options as one parser; the options of ``train`` are those of all models together."""
    parser = argparse.ArgumentParser(prog="pyro-mixvae", description="Mixture-model variational autoencoders in Pyro.")
    parser.add_argument("--version", action="store_true", help="print the version")
    commands = parser.add_subparsers(dest="command")
    recipes = recipe_names()
    options = _recipe_options(recipes)
    for name, text in {"train": "train a model", "sweep": "train at each value of an option"}.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("recipe", nargs="?", choices=recipes)
        for option, meaning in options.items():
            place = command.add_argument(option, help=meaning)
            if option in ("--out", "--data-dir"):
                place.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        if name == "train":
            command.add_argument("--resume", help="run folder to go on with").complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        else:
            command.add_argument("--over", help="OPTION=VALUE,VALUE,...")
    for name, own in {
        "evaluate": ("--out", "--data-dir", "--download", "--num-samples", "--seed"),
        "sample": ("--num", "--component", "--out", "--seed"),
    }.items():
        command = commands.add_parser(name, help=f"{name} the model of a run folder")
        command.add_argument("run").complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        for option in own:
            command.add_argument(option, help="")
    commands.add_parser("recipes", help="list what can be trained")
    commands.add_parser("completion", help="print a shell's completion script").add_argument("shell", choices=SHELLS)
    return parser


def _recipe_options(recipes: list[str]) -> dict[str, str]:
    """Every option that some recipe has, with its help."""
    options: dict[str, str] = {}
    seen = set()
    for recipe in map(read_recipe, recipes):
        kind = (recipe.model_class, recipe.sections["data"].get("name", "").partition(":")[0])
        if kind in seen:
            continue
        seen.add(kind)
        for option, action in recipe_parser(recipe)._option_string_actions.items():
            if option.startswith("--") and option != "--help" and not option.endswith("+"):
                options.setdefault(option, (action.help or "").replace("%", "%%"))
    return options
