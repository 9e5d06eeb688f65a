"""What README and documentation show runs: Python blocks as they are, with short trainings; commands are parsed."""

from __future__ import annotations

import re
import shlex
import textwrap
from functools import wraps
from importlib.util import find_spec
from pathlib import Path

import pyro
import pytest

from pyro_mixvae import training
from pyro_mixvae.training.options import apply_options
from pyro_mixvae.training.recipe import read_recipe

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
PAGES += [
    page for folder in ("", "models", "howto", "reference") for page in sorted((ROOT / "docs" / folder).glob("*.md"))
]
PAGES = [page for page in PAGES if not page.is_symlink()]
BLOCK = re.compile(r"^( *)```(\w+)[^\n]*\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
MAX_EPOCHS = 4


def blocks(page: Path, language: str) -> list[str]:
    return [
        textwrap.dedent(code) for _, kind, code in BLOCK.findall(page.read_text(encoding="utf-8")) if kind == language
    ]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def short_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    original = training.fit

    @wraps(original)
    def short(*arguments, max_epochs, **options):
        return original(*arguments, **{"progress": False, **options}, max_epochs=min(max_epochs, MAX_EPOCHS))

    monkeypatch.setattr(training, "fit", short)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=name(page), marks=[] if page.name == "README.md" else pytest.mark.slow)
        for page in PAGES
        if blocks(page, "python")
    ],
)
def test_python_runs(page, short_trainings, no_global_parameters, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__page__"}
    with pyro.validation_enabled(True):
        for number, code in enumerate(blocks(page, "python"), start=1):
            exec(compile(code, f"{name(page)}, block {number}", "exec"), namespace)


COMMANDS = [
    (page, line.replace("\\\n", " "))
    for page in PAGES
    for code in blocks(page, "sh") + blocks(page, "")
    for line in code.splitlines()
]


@pytest.mark.parametrize(
    ("page", "line"),
    [
        pytest.param(page, line, id=f"{name(page)}: {line}")
        for page, line in COMMANDS
        if "pyro-mixvae train " in f"{line} "
    ],
)
def test_train_commands_are_understood(page, line):
    words = shlex.split(line.split("pyro-mixvae train ")[1])
    if words[0] == "--resume":
        words = ["gmvae-digits", *words[2:]]
    apply_options(read_recipe(words[0]), [word for word in words[1:] if word != "--help"])


def test_scripts_that_are_named_exist():
    modules = {word for _, line in COMMANDS for word in re.findall(r"python -m ((?:benchmarks|docs_tools)\.\w+)", line)}
    assert modules
    for module in modules:
        assert find_spec(module), module


def test_links_of_the_readme_lead_somewhere():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert target.startswith("https://") or (ROOT / target).exists(), (page.name, target)
