"""How good a model's samples are as images, and the network that says so."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from pyro_mixvae.metrics import ImageNetwork, image_quality, inception_network
from pyro_mixvae.models import Classifier
from pyro_mixvae.serialization import load
from pyro_mixvae.training.recipe import Recipe
from pyro_mixvae.training.run import open_data

#: Images that are generated at most, as many as there are real ones.
MAX_IMAGES = 10_000
BATCH = 500


@dataclasses.dataclass(frozen=True)
class NamedNetwork:
    """A network and what tables call it."""

    name: str
    network: ImageNetwork


def open_features(place: str) -> NamedNetwork:
    """The network that images are measured with.

    Args:
        place: ``"inception"``, or the folder of a run of a ``Classifier`` (``features-mnist``, say) or of its model.

    Raises:
        ValueError: for a folder without such a model, or Inception's weights where they are not on this machine.
    """
    if place == "inception":
        return NamedNetwork("Inception", inception_network())
    folder = Path(place)
    model = load(folder / "model" if (folder / "model").is_dir() else folder)
    if not isinstance(model, Classifier):
        raise ValueError(
            f"features: {folder} holds a {type(model).__name__}; expected a Classifier, such as 'pyro-mixvae train "
            "features-mnist' trains, or inception"
        )
    return NamedNetwork(folder.name if folder.name != "model" else folder.parent.name, model)


def image_scores(
    model: Any, recipe: Recipe, features: NamedNetwork, data_dir: str | Path | None = None, seed: int = 0
) -> dict[str, float]:
    """Frechet distance and Inception Score of a model's samples, by the rows of a table that name the network.

    The samples are the decoder's means, held against the grey values of the held-out images, not against a
    binarisation of them.

    Args:
        model: a trained model of images.
        recipe: what it was trained by: its data are opened again.
        features: see :func:`open_features`.
        data_dir: where data files lie.
        seed: of the samples; the caller's random state is left alone.

    Raises:
        ValueError: for data that the network does not take.
    """
    settings = {name: value for name, value in recipe.sections["data"].items() if name not in ("binarize", "labelled")}
    data = open_data(dataclasses.replace(recipe, sections={**recipe.sections, "data": settings}), data_dir)
    real = list(data.parts().values())[-1].values()[:MAX_IMAGES]
    expected = getattr(features.network, "event_shape", None)
    if expected not in (None, tuple(real.shape[1:])):
        raise ValueError(f"features: {features.name} takes images of shape {expected}, got {tuple(real.shape[1:])}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sizes = [len(part) for part in real.split(BATCH)]
        generated = torch.cat([model.sample(size) for size in sizes])
    found = image_quality(real, generated, features.network, seed=seed)
    return {f"{name} ({features.name})": value for name, value in found.items()}
