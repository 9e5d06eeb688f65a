"""What every tutorial promises that can be read from its file; that they run is for ``pytest --nbmake tutorials``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "tutorials"
NAMES = (
    "01_from_vae_to_mixtures",
    "02_gmvae",
    "03_cauchy_schwarz",
    "04_being_bayesian",
    "05_mvae",
    "06_aggregate_posteriors",
    "07_write_your_own",
    "08_at_scale",
)
EXERCISE = re.compile(r"\*\*\d\.\*\*")

Cell = dict[str, Any]


def read(name: str) -> list[Cell]:
    return json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]


def source(cell: Cell) -> str:
    return "".join(cell["source"])


def tags(cell: Cell) -> list[str]:
    return cell["metadata"].get("tags", [])


@pytest.fixture(params=NAMES)
def name(request) -> str:
    return request.param


@pytest.fixture
def cells(name) -> list[Cell]:
    return read(name)


@pytest.fixture
def code(cells) -> list[Cell]:
    return [cell for cell in cells if cell["cell_type"] == "code"]


@pytest.fixture
def outputs(code) -> list[dict[str, Any]]:
    return [output for cell in code for output in cell["outputs"]]


def test_there_are_eight_and_the_index_lists_them():
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == list(NAMES)
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\((\d\d_\w+)\.ipynb\)", index) == list(NAMES)


def test_less_than_a_megabyte(name):
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 1_000_000


def test_opens_with_what_the_reader_will_be_able_to_do(cells):
    assert cells[0]["cell_type"] == "markdown"
    assert source(cells[0]).startswith("# ")
    assert "you will be able to" in source(cells[0])


def test_ends_with_further_reading(cells):
    assert source(cells[-1]).startswith("## Further reading")
    assert "quation" in source(cells[-1]) or "section" in source(cells[-1])


def test_three_to_five_exercises_each_with_a_solution_in_a_collapsed_cell(cells):
    exercises = [
        place for place, cell in enumerate(cells) if EXERCISE.match(source(cell).split("## Exercises")[-1].strip())
    ]
    assert 3 <= len(exercises) <= 5
    for place in exercises:
        solution = cells[place + 1]
        assert solution["cell_type"] == "code"
        assert "solution" in tags(solution)
        assert solution["metadata"]["jupyter"]["source_hidden"]
    assert sum("solution" in tags(cell) for cell in cells) == len(exercises)


def test_was_run_from_top_to_bottom_in_a_clean_kernel(code):
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))


def test_at_least_two_pictures(outputs):
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2


def test_no_error_and_no_warning_was_printed(outputs):
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]


def test_holds_no_path_of_the_machine_that_it_was_run_on(cells):
    for cell in cells:
        texts = [source(cell)]
        for output in cell.get("outputs", []):
            texts += ["".join(output.get("text", [])), "".join(output.get("data", {}).get("text/plain", []))]
        assert not re.search(r"/(tmp|work|home|root|Users|private|var)/", "\n".join(texts))


def test_has_a_smoke_mode(code):
    assert any('SMOKE = "PYRO_MIXVAE_SMOKE" in os.environ' in source(cell) for cell in code)


def test_one_line_switches_to_mnist(cells):
    assert any('load("mnist"' in source(cell) for cell in cells)


def test_your_own_model_takes_less_than_sixty_lines():
    lines = [
        line for cell in read("07_write_your_own") if "own-code" in tags(cell) for line in source(cell).splitlines()
    ]
    assert 0 < sum(bool(line.strip()) for line in lines) < 60
