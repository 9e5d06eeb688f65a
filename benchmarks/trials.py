"""One trial more for a page of trials: its settings from the command line, its result beside those of the others."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.record import HERE, RESULTS

Trial = dict[str, Any]


def add_trial(
    name: str,
    about: str | None,
    choices: Mapping[str, Any],
    trial: Callable[[Trial, str], Trial],
    page: Callable[[list[Trial]], str],
) -> None:
    """Make the trial that the command line asks for, and write all of them anew.

    Args:
        name: of the page and the file of results.
        about: the command's description.
        choices: what may be chosen, with defaults.
        trial: from what was chosen and the folder of the data to a result.
        page: from all results to the page.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--data-dir", required=True)
    for option, default in choices.items():
        parser.add_argument(f"--{option.replace('_', '-')}", type=type(default), default=default)
    chosen = vars(parser.parse_args())
    data_dir = chosen.pop("data_dir")
    file = RESULTS / f"{name}.json"
    new = trial(chosen, data_dir)
    # read after the training: another trial may have ended meanwhile
    trials = [*(json.loads(file.read_text(encoding="utf-8")) if file.exists() else []), new]
    file.write_text(json.dumps(trials, indent=1) + "\n", encoding="utf-8")
    (HERE / f"{name}.md").write_text(page(trials), encoding="utf-8")
