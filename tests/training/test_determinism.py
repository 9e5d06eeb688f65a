"""The same seed on the same machine: the same run, to the last digit, for every recipe whose data are at hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyro_mixvae.training import run as run_module
from pyro_mixvae.training.evaluation import Evaluation
from pyro_mixvae.training.recipe import Recipe, read_recipe, recipe_names

EMBEDDED = ("digits", "arcs", "pinwheel", "two-gaussians")
RECIPES = [name for name in recipe_names() if read_recipe(name).sections["data"].get("name") in EMBEDDED]
#: One in which Pyro enumerates, and whose noise, order of data and starting weights are all drawn.
REPRESENTATIVE = "gmvae-digits"


def shortened(name: str) -> Recipe:
    """Two epochs of the training, and one of each phase before it."""
    recipe = read_recipe(name)
    trainer = dict(recipe.sections["trainer"])
    trainer = {key: 1 if key in ("pretraining_epochs", "seeding_epochs") else value for key, value in trainer.items()}
    return Recipe(recipe.name, recipe.description, {**recipe.sections, "trainer": {**trainer, "max_epochs": 2}})


@pytest.fixture
def no_evaluation(monkeypatch):
    monkeypatch.setattr(run_module, "evaluate", lambda *args, **kwargs: Evaluation("test", {}))
    monkeypatch.setattr(run_module, "write_results", lambda *args: None)


@pytest.mark.usefixtures("no_evaluation")
@pytest.mark.parametrize(
    "name",
    [name if name == REPRESENTATIVE else pytest.param(name, marks=pytest.mark.slow) for name in RECIPES],
)
def test_twice_the_same(name, tmp_path):
    for place in ("first", "second"):
        run_module.train(shortened(name), out=tmp_path / place, seed=7, progress=False)
    for file in ("metrics.csv", "model/model.safetensors", "model/config.json", "config.yaml"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes(), file
    assert len((tmp_path / "first" / "metrics.csv").read_text().splitlines()) == 3
    run_module.train(shortened(name), out=tmp_path / "other", seed=8, progress=False)
    assert (tmp_path / "other" / "metrics.csv").read_bytes() != (tmp_path / "first" / "metrics.csv").read_bytes()


def test_there_are_such_recipes():
    assert REPRESENTATIVE in RECIPES
    models = {read_recipe(name).sections["model"]["class"] for name in RECIPES}
    assert models >= {"VAE", "CSRAE", "GMVAE", "FactorialMixtureVAE", "MVAE", "MixturePosteriorVAE"}


@pytest.mark.slow
def test_in_another_process_with_other_hashes(tmp_path):
    """Of the whole command, its table of results included."""
    command = [sys.executable, "-m", "pyro_mixvae", "train", REPRESENTATIVE, "--trainer.max_epochs=3", "--quiet"]
    for number in ("1", "2"):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": number}
        folder = str(tmp_path / number)
        done = subprocess.run([*command, "--out", folder], env=environment, capture_output=True, text=True, check=True)
        Path(tmp_path / f"table-{number}").write_text(done.stdout.replace(folder, "run"))
    for file in ("metrics.csv", "model/model.safetensors"):
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "2" / file).read_bytes(), file
    tables = [(tmp_path / f"table-{number}").read_text().splitlines()[:15] for number in ("1", "2")]
    assert tables[0] == tables[1]
