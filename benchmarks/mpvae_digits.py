"""What KL_I is for: the posteriors' standard deviations on digits, with and without it, and a standard VAE's.

Runs are kept under ``runs/mpvae_digits``, so that a stopped benchmark goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

import pyro_mixvae
from benchmarks.record import FIGURES, described, write_json
from pyro_mixvae import figures
from pyro_mixvae.infer import KL, TraceDivergence_ELBO
from pyro_mixvae.metrics import bimodal_axes, sharpness
from pyro_mixvae.models import MixturePosteriorVAE
from pyro_mixvae.training.fit import fit
from pyro_mixvae.training.recipe import Recipe, read_recipe
from pyro_mixvae.training.run import build_model, fit_options, open_data

KEPT = Path("runs/mpvae_digits")
#: What each setting changes of the recipe: the adversary, beta2, and the objective.
SETTINGS: dict[str, dict[str, Any]] = {
    "KL_G + KL_I": {"adversarial": False},
    "KL_G alone": {"adversarial": False, "beta2": 0.0},
    "KL_G + KL_I, adversary": {},
    "KL_G alone, adversary": {"beta2": 0.0},
    "standard VAE": {"adversarial": False, "standard": True},
}


def trained(recipe: Recipe, data: Any, name: str, seed: int) -> tuple[MixturePosteriorVAE, float]:
    """The model of one setting and seed, and the seconds that its training took; read back where it was trained."""
    folder = KEPT / f"{name.lower().replace(', ', '-').replace(' ', '-')}-{seed}"
    if (folder / "seconds.json").exists():
        return pyro_mixvae.load(folder), json.loads((folder / "seconds.json").read_text())
    changes = SETTINGS[name]
    model_section = {**recipe.sections["model"], "adversarial": changes.get("adversarial", True)}
    objective_section = {**recipe.sections["objective"], "beta2": changes.get("beta2", 1.0)}
    sections = {**recipe.sections, "model": model_section, "objective": objective_section}
    changed = Recipe(recipe.name, recipe.description, sections)
    model = build_model(changed, data, seed)
    standard = TraceDivergence_ELBO({"z": KL()}, max_plate_nesting=1) if changes.get("standard") else None
    result = fit(model, data, objective=standard, seed=seed, progress=False, **fit_options(changed))
    pyro_mixvae.save(model, folder)
    (folder / "seconds.json").write_text(json.dumps(result.seconds))
    print(name, seed, f"{result.seconds:.0f} s", flush=True)
    return model, result.seconds


@torch.no_grad()
def measured_on(model: MixturePosteriorVAE, x: torch.Tensor) -> dict[str, float]:
    posterior = model.encode(x)
    scale = posterior.base_dist.scale
    reconstructions = model.reconstruct(x)
    return {
        "mean_sigma": scale.mean().item(),
        "smallest_sigma": scale.min().item(),
        "l1": (reconstructions - x).abs().mean().item() / 2,
        "sharpness": sharpness(reconstructions, x),
        "bimodal_axes": int(bimodal_axes(posterior.sample()).sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    recipe = read_recipe("mpvae-digits")
    data = open_data(recipe)
    x = data.test.values()

    measured: dict[str, list[dict[str, float]]] = {}
    scales, codes = {}, {}
    for name in SETTINGS:
        for seed in range(arguments.seeds):
            model, seconds = trained(recipe, data, name, seed)
            torch.manual_seed(seed)
            measured.setdefault(name, []).append({**measured_on(model, x), "seconds": seconds})
            if not seed:
                with torch.no_grad():
                    scales[name], codes[name] = model.encode(x).base_dist.scale, model.encode(x).mean
    write_json("mpvae_digits", {"runs": measured})

    FIGURES.mkdir(exist_ok=True)
    shown = ("KL_G + KL_I", "KL_G alone", "standard VAE")
    drawn = {
        "mpvae_digits_spread": figures.posterior_spread({name: scales[name] for name in shown}),
        "mpvae_digits_codes": figures.code_histograms({name: codes[name] for name in shown}),
    }
    for name, figure in drawn.items():
        figure.savefig(FIGURES / f"{name}.png", dpi=110)

    def cell(runs: list[dict[str, float]], key: str, form: str) -> str:
        values = torch.tensor([float(scores[key]) for scores in runs])
        spread = values.std().item() if len(values) > 1 else 0.0
        return f"{values.mean().item():{form}} ± {spread:{form}}"

    columns = {"mean_sigma": ".3f", "smallest_sigma": ".4f", "l1": ".4f", "sharpness": ".2f", "bimodal_axes": ".1f"}
    columns["seconds"] = ".0f"
    rows = [
        f"| {name} | " + " | ".join(cell(runs, key, form) for key, form in columns.items()) + " |"
        for name, runs in measured.items()
    ]
    epochs = recipe.sections["trainer"]["max_epochs"]
    text = f"""The recipe `mpvae-digits` ({epochs} epochs, one CPU thread) and what becomes of it without KL_I (`beta2` 0),
without adversary, and as a standard VAE: the same networks, the same beta3, the ordinary KL of each posterior to the
prior. Mean and standard deviation over {arguments.seeds} seeds, on the {len(x)} test digits. sigma is a posterior's
standard deviation on one axis, its mean and smallest are over digits and axes; L1 is in units of the grey range; sharpness is
the mean gradient magnitude of reconstructions over that of the data; axes, {recipe.sections["model"]["latent_dim"]} in all, are counted as
bimodal by `pyro_mixvae.metrics.bimodal_axes` on one sample for each digit. Seconds are those of a machine that others used."""
    page = f"""{described("Digits: the collapse of variances that KL_I prevents (How to train your VAE)", text)}
| objective | mean sigma | smallest sigma | L1 | sharpness | bimodal axes | seconds |
|---|---|---|---|---|---|---|
{chr(10).join(rows)}

![posterior standard deviations](figures/mpvae_digits_spread.png)

Posterior means, two axes:

![two codes](figures/mpvae_digits_codes.png)
"""
    (FIGURES.parent / "mpvae_digits.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
