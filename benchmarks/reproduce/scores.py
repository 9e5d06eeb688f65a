"""What the tables need beside a run's own evaluation: distance of samples, sharpness, bounds, classifiers of codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from benchmarks.reproduce.table import place_of
from pyro_mixvae.metrics import component_classification, sharpness
from pyro_mixvae.models import MVAE, FactorialMixtureVAE
from pyro_mixvae.models.mvae_analysis import latent_codes
from pyro_mixvae.training.image_quality import image_scores, open_features
from pyro_mixvae.training.recipe import Recipe, read_recipe
from pyro_mixvae.training.run import open_data, train

#: Data that go through a model at once.
BATCH = 200


def distance(
    model: Any, recipe: Recipe, features: str, runs: Path, data_dir: str | None, seed: int
) -> dict[str, float]:
    """Frechet distance and Inception Score by an own classifier, which is trained where it is not there yet.

    Args:
        model: a trained model of images.
        recipe: what it was trained by.
        features: the classifier's recipe; its seed is 0 for all models.
        runs: folder of the run folders.
        data_dir: where the data lie.
        seed: of the samples.
    """
    folder = runs / Path(features).stem
    if not (folder / "model").exists():
        train(read_recipe(place_of(features)), out=folder, data_dir=data_dir, seed=0, progress=False, resume=True)
    return image_scores(model, recipe, open_features(str(folder)), data_dir, seed)


@torch.no_grad()
def sharp_scores(model: Any, recipe: Recipe, data_dir: str | None) -> dict[str, float]:
    """Sharpness and mean absolute error of reconstructions, and the posteriors' mean width, on the held-out part."""
    data = open_data(recipe, data_dir)
    split = list(data.parts().values())[-1]
    x = split.values()
    reconstructions = torch.cat([model.reconstruct(batch) for batch in x.split(BATCH)])
    low, high = split.value_range
    widths = torch.cat([model.encode(batch).base_dist.scale for batch in x.split(BATCH)])
    return {
        "sharpness": sharpness(reconstructions, x),
        "reconstruction L1": ((reconstructions - x).abs().mean() / (high - low)).item(),
        "mean posterior sigma": widths.mean().item(),
    }


@torch.no_grad()
def bound_scores(model: Any, recipe: Recipe, data_dir: str | None) -> dict[str, float]:
    """The bound on new data's log-likelihood and its parts (factorial paper, equation 11), in nats per datum."""
    x = list(open_data(recipe, data_dir).parts().values())[-1].values()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if isinstance(model, FactorialMixtureVAE):
            parts = [model.predictive_bound(batch) for batch in x.split(BATCH)]
            names = {"bound": "bound", "reconstruction": "E log p(x|z)", "kl_z": "KL[z]", "kl_r": "KL[r]"}
            return {ours: torch.cat([part[name] for part in parts]).mean().item() for name, ours in names.items()}
        totals = {"reconstruction": 0.0, "divergence": 0.0}
        for batch in x.split(BATCH):
            for name, term in model.terms(batch).items():
                totals[name] += term.sum().item() / len(x)
    fit, divergence = -totals["reconstruction"], totals["divergence"]
    return {"bound": fit - divergence, "E log p(x|z)": fit, "KL[z]": divergence}


@torch.no_grad()
def codes_of(model: Any, x: torch.Tensor) -> torch.Tensor:
    """Posterior means [N, K, D]; a single VAE is one component."""
    codes = (lambda b: latent_codes(model, b)) if isinstance(model, MVAE) else lambda b: model.encode(b).mean[:, None]
    return torch.cat([codes(batch) for batch in x.split(BATCH)])


@torch.no_grad()
def code_scores(model: Any, recipe: Recipe, data_dir: str | None) -> dict[str, float]:
    """Three classifiers of the codes' posterior means (MVAE paper, table V), in percent correct on held-out data.

    They see the labels of all training data; each is given all codes side by side, and each component's alone.
    """
    data = open_data(recipe, data_dir)
    held_out = list(data.parts().values())[-1]
    known, truth = data.train.y, held_out.y
    assert known is not None
    assert truth is not None
    train, test = codes_of(model, data.train.values()), codes_of(model, held_out.values())
    found = component_classification(train, known, test, truth)
    together = found.pop("mixture")
    best = {name: max(scores[name] for scores in found.values()) for name in together}
    return {
        **{f"{name}, all codes (%)": value for name, value in together.items()},
        **{f"{name}, best component (%)": value for name, value in best.items()},
    }
