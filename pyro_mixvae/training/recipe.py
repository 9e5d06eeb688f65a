"""Recipes: one YAML file for each experiment."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from pyro_mixvae import models

SECTIONS = ("model", "objective", "data", "optimizer", "trainer")
OTHER_KEYS = ("name", "description", "seed", "options", "made_with")


@dataclass(frozen=True)
class Recipe:
    """An experiment: what to train, on what, and how.

    Attributes:
        name: the file's name without its ending.
        description: one line.
        sections: the keys ``model``, ``objective``, ``data``, ``optimizer`` and ``trainer``.
        seed: the seed that it was run with, or None.
    """

    name: str
    description: str
    sections: dict[str, dict[str, Any]]
    seed: int | None = None

    @property
    def model_class(self) -> type[models.MixtureVAE]:
        """The class that ``model.class`` names.

        Raises:
            ValueError: if there is none of that name.
        """
        name = self.sections["model"].get("class")
        if name not in models.__all__ or name == "MixtureVAE":
            raise ValueError(f"model.class: {unknown(str(name), [n for n in models.__all__ if n != 'MixtureVAE'])}")
        return getattr(models, str(name))


def recipe_names() -> list[str]:
    """The recipes that come with the package."""
    folder = files("pyro_mixvae.recipes")
    return sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))


def read_recipe(name: str) -> Recipe:
    """A recipe of the package by name, or any YAML file by its path (a run's ``config.yaml``, say).

    Raises:
        ValueError: for an unknown name (the message holds the nearest right ones), a file that cannot be read, or
            keys that a recipe does not have.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ValueError(f"recipe: cannot read {path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ValueError(f"recipe: cannot read {path}: not text: {error}") from error
    elif name in recipe_names():
        text = files("pyro_mixvae.recipes").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    else:
        raise ValueError(f"recipe: {unknown(name, recipe_names())}")
    return _parse(path.stem if path.suffix else name, text)


def _parse(name: str, text: str) -> Recipe:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"recipe {name}: not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"recipe {name}: expected the keys {', '.join(SECTIONS)}, got {type(content).__name__}")
    for key, value in content.items():
        if key not in SECTIONS + OTHER_KEYS:
            raise ValueError(f"recipe {name}: {unknown(str(key), [*SECTIONS, *OTHER_KEYS])}")
        if key in SECTIONS and not isinstance(value, dict):
            raise ValueError(f"recipe {name}: {key} must be a mapping, got {value!r}")
    for key, kind in {"name": str, "description": str, "seed": int}.items():
        if not isinstance(content.get(key), kind | None):
            raise ValueError(f"recipe {name}: {key} must be of type {kind.__name__}, got {content[key]!r}")
    sections = {section: dict(content.get(section, {})) for section in SECTIONS}
    return Recipe(content.get("name") or name, content.get("description") or "", sections, content.get("seed"))


def unknown(name: str, known: list[str]) -> str:
    """What to say of a name that is not among the known ones."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
    return f"no {name!r}; {hint}"
