"""The command line: ``pyro-mixvae train | recipes``."""

from __future__ import annotations

import sys

OVERVIEW = """\
usage: pyro-mixvae COMMAND ...

Mixture-model variational autoencoders in Pyro.

commands:
  train RECIPE      train a model and leave a run folder with results and pictures
  recipes           list what can be trained

'pyro-mixvae train RECIPE --help' lists every option of a recipe.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 2 for bad input, 1 for a training that failed."""
    arguments = sys.argv[1:] if arguments is None else arguments
    commands = {"train": _train, "recipes": _recipes}
    if not arguments or arguments[0] in ("-h", "--help"):
        print(OVERVIEW, end="")
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from pyro_mixvae import __version__

        print(__version__)
        return 0
    try:
        if arguments[0] not in commands:
            from pyro_mixvae.training.recipe import unknown

            raise ValueError(f"command: {unknown(arguments[0], list(commands))}")
        commands[arguments[0]](arguments[1:])
    except ValueError as error:
        return _fail(error, 2)
    except RuntimeError as error:
        from pyro_mixvae.training.errors import TrainingDiverged

        if not isinstance(error, TrainingDiverged):
            raise
        return _fail(error, 1)
    return 0


def _fail(error: Exception, status: int) -> int:
    print(f"pyro-mixvae: error: {' '.join(str(error).split())}", file=sys.stderr)
    return status


def _recipes(arguments: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    from pyro_mixvae.training.recipe import read_recipe, recipe_names

    if arguments:
        print("usage: pyro-mixvae recipes\n\nList the recipes that come with the package.")
        if arguments[0] not in ("-h", "--help"):
            raise ValueError(f"recipes: takes no arguments, got {' '.join(arguments)}")
        return
    table = Table(box=None, header_style="bold")
    table.add_column("recipe", no_wrap=True)
    table.add_column("what it trains")
    for name in recipe_names():
        table.add_row(name, read_recipe(name).description)
    Console().print(table)


def _train(arguments: list[str]) -> None:
    from pyro_mixvae.training.recipe import read_recipe, recipe_names

    if not arguments or arguments[0].startswith("-"):
        print("usage: pyro-mixvae train RECIPE [options]\n\nrecipes: " + ", ".join(recipe_names()))
        if not arguments or arguments[0] not in ("-h", "--help"):
            raise ValueError("train: which recipe? Its name comes first")
        return
    recipe = read_recipe(arguments[0])

    from rich.console import Console
    from rich.table import Table

    from pyro_mixvae.training.evaluation import UNITS
    from pyro_mixvae.training.options import apply_options
    from pyro_mixvae.training.run import train

    recipe, chosen = apply_options(recipe, arguments[1:])
    run = train(
        recipe,
        out=chosen.out,
        data_dir=chosen.data_dir,
        download=chosen.download,
        seed=chosen.seed,
        progress=not chosen.quiet,
        compile=chosen.compile,
    )
    header, *lines = run.evaluation.table(recipe.sections["model"]["class"])
    table = Table(box=None, pad_edge=False, header_style="bold")
    for position, column in enumerate(header):
        table.add_column(column, justify="right" if position else "left", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    console = Console(highlight=False)
    console.print(f"\n{recipe.name}, {run.evaluation.part} data\n", soft_wrap=True)
    console.print(table)
    console.print(f"\n{UNITS}\n\n{run.folder / 'report.html'}", soft_wrap=True)
