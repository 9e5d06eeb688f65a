"""The command line: ``pyro-mixvae train | sweep | evaluate | sample | recipes | completion``."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyro_mixvae.training.evaluation import Evaluation

OVERVIEW = """\
usage: pyro-mixvae COMMAND ...

Mixture-model variational autoencoders in Pyro.

commands:
  train RECIPE      train a model and leave a folder with results and pictures
  train --resume RUN
                    go on with a run that was stopped
  sweep RECIPE --over OPTION=VALUE,VALUE,...
                    train it at each value and choose one by validation data
  evaluate RUN      measure the model of a run folder again
  sample RUN        draw from the model of a run folder
  recipes           list what can be trained
  completion SHELL  print what lets bash, zsh or tcsh complete all of this

'pyro-mixvae train RECIPE --help' lists every option of a recipe.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 2 for bad input, 1 for a failed training, 130 for Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else arguments
    commands = {
        "train": _train,
        "sweep": _sweep,
        "evaluate": _evaluate,
        "sample": _sample,
        "recipes": _recipes,
        "completion": _completion,
    }
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
    except KeyboardInterrupt as stop:
        print(f"pyro-mixvae: {stop or 'stopped'}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # whoever read the output has gone, as after "| head"
        sys.stderr.close()
        return 1
    except OSError as error:
        return _fail(error, 1)
    except RuntimeError as error:
        from pyro_mixvae.training.errors import ProcessLost, TrainingDiverged

        if not isinstance(error, TrainingDiverged | ProcessLost):
            raise
        return _fail(error, 1)
    return 0


def _fail(error: Exception, status: int) -> int:
    # Pyro adds a table of all shapes, which has no place in one line
    message = str(error).partition("Trace Shapes:")[0]
    print(f"pyro-mixvae: error: {' '.join(message.split())}", file=sys.stderr)
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


def _completion(arguments: list[str]) -> None:
    shells = ("bash", "zsh", "tcsh")
    if len(arguments) != 1 or arguments[0] not in shells:
        print(f"usage: pyro-mixvae completion {'|'.join(shells)}\n\nPrint a completion script for the shell, e.g.\n")
        print('  eval "$(pyro-mixvae completion bash)"')
        if arguments[:1] not in (["-h"], ["--help"]):
            raise ValueError(f"completion: which shell? {', '.join(shells)}, got {' '.join(arguments) or 'none'}")
        return
    from pyro_mixvae.training.completion import completion_script

    print(completion_script(arguments[0]))


def _train(arguments: list[str]) -> None:
    from pyro_mixvae.training.recipe import read_recipe, recipe_names

    folder = None
    if arguments and arguments[0].partition("=")[0] == "--resume":
        # both --resume RUN and --resume=RUN
        folder, *arguments = [*arguments[0].split("=", 1)[1:], *arguments[1:]] or [""]
        if not folder:
            raise ValueError("train --resume: which run folder?")
        arguments = [str(Path(folder) / "config.yaml"), *arguments]
    if not arguments or arguments[0].startswith("-"):
        print("usage: pyro-mixvae train RECIPE [options]\n       pyro-mixvae train --resume RUN [options]\n")
        print("'pyro-mixvae train RECIPE --help' lists the options of a recipe.\n")
        listing = "recipes: " + ", ".join(recipe_names())
        print(textwrap.fill(listing, 79, subsequent_indent="  ", break_on_hyphens=False))
        if not arguments or arguments[0] not in ("-h", "--help"):
            raise ValueError("train: which recipe? Its name comes first")
        return
    recipe = read_recipe(arguments[0])

    from pyro_mixvae.training.options import apply_options
    from pyro_mixvae.training.resume import check_recipe, run_options
    from pyro_mixvae.training.run import train

    saved, (recipe, chosen) = recipe, apply_options(recipe, arguments[1:])
    options = {"data_dir": chosen.data_dir, "compile": chosen.compile, "on_nan": chosen.on_nan, "logger": chosen.logger}
    if folder is not None:
        check_recipe(saved, recipe)
        if chosen.out is not None:
            raise ValueError(f"--out: a resumed run goes on in its own folder {folder}, got {chosen.out}")
        options = {name: chosen_ or run_options(folder).get(name) for name, chosen_ in options.items()}
    run = train(
        recipe,
        out=chosen.out if folder is None else folder,
        download=chosen.download,
        seed=chosen.seed,
        progress=not chosen.quiet,
        resume=folder is not None,
        **{name: value for name, value in options.items() if value is not None},
    )
    if run.evaluation is not None:
        _print_table(recipe.name, recipe.sections["model"]["class"], run.evaluation, run.folder)


SWEEP = """\
usage: pyro-mixvae sweep RECIPE --over SECTION.OPTION=VALUE,VALUE,...
                         [--features RUN] [options of train]

Train a recipe at each value of an option, choose one by the validation
objective at weight 1, and leave a folder with the runs, a table and a figure of
the trade-off. The same command goes on where it stopped.

  --over objective.scale=0.1,0.25,1
                    what is varied, and its values
  --features RUN    a run of features-mnist, or inception: Frechet distance and
                    Inception Score by that network
  --out DIR         folder of the sweep; runs/RECIPE/sweep-OPTION if left out
"""


def _sweep(arguments: list[str]) -> None:
    if not arguments or arguments[0].startswith("-"):
        print(SWEEP, end="")
        if not arguments or arguments[0] not in ("-h", "--help"):
            raise ValueError("sweep: which recipe? Its name comes first")
        return
    name, own, rest = arguments[0], {"--over": "", "--features": ""}, []
    left = iter(arguments[1:])
    for word in left:
        key, equals, value = word.partition("=")
        if key in ("-h", "--help"):
            print(SWEEP, end="")
            return
        if key not in own:
            rest.append(word)
        else:
            own[key] = value if equals else next(left, "")

    from rich.console import Console
    from rich.table import Table

    from pyro_mixvae.training.image_quality import open_features
    from pyro_mixvae.training.options import apply_options
    from pyro_mixvae.training.recipe import read_recipe
    from pyro_mixvae.training.sweep import parse_over, sweep

    recipe = read_recipe(name)
    option, values = parse_over(own["--over"])
    features = open_features(own["--features"]) if own["--features"] else None
    changed, chosen = apply_options(recipe, rest)
    found = sweep(
        changed,
        option,
        values,
        out=chosen.out,
        data_dir=chosen.data_dir,
        download=chosen.download,
        seed=chosen.seed,
        progress=not chosen.quiet,
        compile=chosen.compile,
        features=features,
    )
    header, *lines = found.table()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for position, column in enumerate(header):
        table.add_column(column, justify="right" if position else "left")
    for line in lines:
        table.add_row(*line)
    console = Console(highlight=False)
    console.print(table)
    console.print(f"\n* chosen by the validation objective at weight 1\n\n{found.folder / 'sweep.md'}", soft_wrap=True)


def _evaluate(arguments: list[str]) -> None:
    from pyro_mixvae.training.finished_run import evaluate_run, open_run
    from pyro_mixvae.training.options import OneLineParser

    parser = OneLineParser(
        prog="pyro-mixvae evaluate", description="Measure the model of a run folder on held-out data."
    )
    parser.add_argument("run", type=str, help="a folder that 'pyro-mixvae train' left")
    parser.add_argument("--out", type=str | None, help="folder for results and pictures; RUN if left out")
    parser.add_argument("--data-dir", type=str | None, help="folder with data files; $PYRO_MIXVAE_DATA if left out")
    parser.add_argument("--download", action="store_true", help="fetch missing data files")
    parser.add_argument("--num-samples", type=int, default=500, help="draws for each datum's log-likelihood")
    parser.add_argument("--seed", type=int | None, help="of the draws; the run's own if left out")
    parser.add_argument(
        "--features",
        type=str | None,
        help="measure samples as images by this network: a run of features-mnist, or inception",
    )
    chosen = parser.parse_args(arguments)
    run = open_run(chosen.run)
    evaluation = evaluate_run(
        run, chosen.out, chosen.data_dir, chosen.download, chosen.num_samples, chosen.seed, chosen.features
    )
    _print_table(run.recipe.name, run.recipe.sections["model"]["class"], evaluation, Path(chosen.out or chosen.run))


def _sample(arguments: list[str]) -> None:
    from pyro_mixvae.training.finished_run import open_run, sample_run
    from pyro_mixvae.training.options import OneLineParser

    parser = OneLineParser(prog="pyro-mixvae sample", description="Draw from the model of a run folder.")
    parser.add_argument("run", type=str, help="a folder that 'pyro-mixvae train' left")
    parser.add_argument("--num", type=int, default=100, help="how many samples")
    parser.add_argument("--component", type=int | None, help="draw from this mixture component only, counted from 0")
    parser.add_argument("--out", type=str, default="samples.png", help="a .png picture, or .npy for the numbers")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    chosen = parser.parse_args(arguments)
    print(sample_run(open_run(chosen.run), chosen.out, chosen.num, chosen.component, chosen.seed))


def _print_table(name: str, model: str, evaluation: Evaluation, folder: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from pyro_mixvae.training.evaluation import UNITS

    header, *lines = evaluation.table(model)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for position, column in enumerate(header):
        table.add_column(column, justify="right" if position else "left", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    console = Console(highlight=False)
    console.print(f"\n{name}, {evaluation.part} data\n", soft_wrap=True)
    console.print(table)
    console.print(f"\n{UNITS}\n\n{folder / 'report.html'}", soft_wrap=True)
