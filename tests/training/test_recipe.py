"""Recipes: found by name, read from a file, refused in words."""

from __future__ import annotations

from importlib.resources import files

import pytest

from pyro_mixvae.models import GMVAE
from pyro_mixvae.training.recipe import SECTIONS, read_recipe, recipe_names, unknown


def test_the_packages_recipes():
    assert "gmvae-digits" in recipe_names()
    for name in recipe_names():
        recipe = read_recipe(name)
        assert recipe.name == name
        assert recipe.description
        assert "\n" not in recipe.description
        assert set(recipe.sections) == set(SECTIONS)
        assert recipe.model_class.__name__ == recipe.sections["model"]["class"]


def test_each_recipe_says_what_it_reaches_or_that_it_was_not_run():
    for name in recipe_names():
        text = (files("pyro_mixvae.recipes") / f"{name}.yaml").read_text(encoding="utf-8")
        head = text.split("\nmodel:")[0]
        said = ("Reaches", "reach ", "Not run here")
        assert any(words in head for words in said), f"{name}: its head says none of {', '.join(said)}"


def test_a_file(tiny, write_recipe):
    recipe = read_recipe(write_recipe({**tiny, "seed": 3}, "mine"))
    assert recipe.name == "mine"
    assert recipe.model_class is GMVAE
    assert recipe.seed == 3
    assert read_recipe(write_recipe({**tiny, "name": "its own"})).name == "its own"


def test_missing_sections_are_empty(write_recipe):
    assert read_recipe(write_recipe({"model": {"class": "GMVAE"}})).sections["trainer"] == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: [", "not YAML"),
        ("just text", "expected the keys model, objective, data, optimizer, trainer, got str"),
        ("", "got NoneType"),
        ("modell: {}", "no 'modell'; did you mean model"),
        ("model: GMVAE", "model must be a mapping, got 'GMVAE'"),
        ("optimizer: 3", "optimizer must be a mapping"),
        ("name: 3", "name must be of type str, got 3"),
        ("description: [a]", "description must be of type str"),
        ("seed: one", "seed must be of type int, got 'one'"),
        ("3: {}", "no '3'"),
        ("!!python/object/apply:os.system ['true']", "not YAML"),
    ],
)
def test_bad_files(tmp_path, text, message):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ValueError) as error:
        read_recipe(str(path))
    assert message in str(error.value)
    assert "recipe bad" in str(error.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match=r"recipe: cannot read .*none.yaml: No such file"):
        read_recipe(str(tmp_path / "none.yaml"))
    with pytest.raises(ValueError, match=r"recipe: cannot read .*: Is a directory"):
        (tmp_path / "folder.yaml").mkdir()
        read_recipe(str(tmp_path / "folder.yaml"))
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not text"):
        read_recipe(str(tmp_path / "binary.yaml"))


def test_unknown_names_get_the_nearest():
    with pytest.raises(ValueError, match=r"recipe: no 'gmvae-digit'; did you mean .*gmvae-digits"):
        read_recipe("gmvae-digit")
    with pytest.raises(ValueError, match=r"there are .*gmvae-digits"):
        read_recipe("zzz")
    assert unknown("trian", ["train", "recipes"]) == "no 'trian'; did you mean train?"


@pytest.mark.parametrize(
    ("name", "message"), [("GMVAEE", "did you mean GMVAE"), ("MixtureVAE", "did you mean"), (3, "'3'")]
)
def test_unknown_classes(tiny, write_recipe, name, message):
    tiny["model"]["class"] = name
    with pytest.raises(ValueError, match=r"model.class: no ") as error:
        read_recipe(write_recipe(tiny)).model_class
    assert message in str(error.value)
