"""How sharp reconstructions of Frey faces are: mixture posterior and adversary against a standard VAE.

Runs are kept under ``runs/mpvae_freyfaces``, so that a stopped benchmark goes on where it was.
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

KEPT = Path("runs/mpvae_freyfaces")
OURS, PLAIN, STANDARD = "MPVAE", "MPVAE, no adversary", "standard VAE"
SHOWN = torch.arange(8) * 25
ENDS = torch.tensor([0, 60, 120])


def trained(recipe: Recipe, data: Any, name: str, seed: int) -> tuple[MixturePosteriorVAE, float]:
    """The model of one setting and seed, and the seconds that its training took; read back where it was trained."""
    folder = KEPT / f"{name.lower().replace(', ', '-').replace(' ', '-')}-{seed}"
    if (folder / "seconds.json").exists():
        return pyro_mixvae.load(folder), json.loads((folder / "seconds.json").read_text())
    section = {**recipe.sections["model"], "adversarial": name == OURS}
    changed = Recipe(recipe.name, recipe.description, {**recipe.sections, "model": section})
    model = build_model(changed, data, seed)
    objective = TraceDivergence_ELBO({"z": KL()}, max_plate_nesting=1) if name == STANDARD else None
    result = fit(model, data, objective=objective, seed=seed, progress=False, **fit_options(changed))
    pyro_mixvae.save(model, folder)
    (folder / "seconds.json").write_text(json.dumps(result.seconds))
    print(name, seed, f"{result.seconds:.0f} s", flush=True)
    return model, result.seconds


@torch.no_grad()
def measured(model: MixturePosteriorVAE, x: torch.Tensor) -> dict[str, float]:
    posterior, reconstructions = model.encode(x), model.reconstruct(x)
    return {
        "sharpness": sharpness(reconstructions, x),
        "l1": (reconstructions - x).abs().mean().item() / 2,
        "mean_sigma": posterior.base_dist.scale.mean().item(),
        "bimodal_axes": int(bimodal_axes(posterior.sample()).sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, help="the recipe's if left out")
    parser.add_argument("--data-dir")
    arguments = parser.parse_args()
    recipe = read_recipe("mpvae-freyfaces")
    if arguments.epochs:
        recipe.sections["trainer"]["max_epochs"] = arguments.epochs
    data = open_data(recipe, arguments.data_dir)
    x, validation = data.test.values(), data.validation.values()

    runs: dict[str, list[dict[str, float]]] = {}
    models: dict[str, MixturePosteriorVAE] = {}
    for seed in range(arguments.seeds):
        for name in (OURS, STANDARD, PLAIN):
            model, seconds = trained(recipe, data, name, seed)
            torch.manual_seed(seed)
            scores = {
                **measured(model, x),
                "validation_sharpness": sharpness(model.reconstruct(validation), validation),
            }
            runs.setdefault(name, []).append({**scores, "seconds": seconds})
            models.setdefault(name, model)
    write_json("mpvae_freyfaces", {"runs": runs, "epochs": recipe.sections["trainer"]["max_epochs"]})

    FIGURES.mkdir(exist_ok=True)
    grey = {"value_range": data.value_range}
    faces = x[SHOWN]
    rows = torch.stack([faces, *(models[name].reconstruct(faces) for name in (OURS, PLAIN, STANDARD))])
    torch.manual_seed(0)
    drawn = {
        "reconstructions": figures.image_grid(rows, ["data", OURS, PLAIN, STANDARD], **grey),
        "transitions": figures.latent_transitions(
            {name: model.transitions(x[ENDS], x[ENDS + 40]) for name, model in models.items()}, **grey
        ),
        "variants": figures.latent_variants(models[OURS].variants(x[ENDS[:2]]), **grey),
        "samples": figures.image_grid(
            torch.stack([model.sample(12) for model in models.values()]), list(models), **grey
        ),
        "spread": figures.posterior_spread({name: model.encode(x).base_dist.scale for name, model in models.items()}),
        "codes": figures.code_histograms(
            {name: model.encode(torch.cat([validation, x])).mean for name, model in models.items()}
        ),
    }
    for name, figure in drawn.items():
        figure.savefig(FIGURES / f"mpvae_freyfaces_{name}.png", dpi=110)

    lines = [
        f"| {name} | {seed} | {s['sharpness']:.3f} | {s['validation_sharpness']:.3f} | {s['l1']:.4f} | "
        f"{s['mean_sigma']:.3f} | {s['bimodal_axes']} | {s['seconds']:.0f} |"
        for name in (OURS, PLAIN, STANDARD)
        for seed, s in enumerate(runs[name])
    ]
    channels, codes = recipe.sections["model"]["encoder"]["channels"], recipe.sections["model"]["latent_dim"]
    epochs = recipe.sections["trainer"]["max_epochs"]
    text = f"""The recipe `mpvae-freyfaces` ({epochs} epochs), the same without adversary, and a standard VAE: the same networks
({channels} channels, {codes} codes), data, beta3, optimiser and number of steps, with the ordinary KL of each posterior to
the prior. Sharpness is the mean gradient magnitude of reconstructions over that of the data: 1 is as sharp as the data,
less is blurred, more is noisy. It, L1 (in units of the grey range), the mean posterior standard deviation sigma and the
number of bimodal axes are taken on the {len(x)} test frames, the last of the video; sharpness also on the
{len(validation)} validation frames."""
    page = f"""{described("Frey faces: sharpness of reconstructions (How to train your VAE)", text)}
| model | seed | sharpness | validation sharpness | L1 | mean sigma | bimodal axes | seconds |
|---|---|---|---|---|---|---|---|
{chr(10).join(lines)}

![reconstructions](figures/mpvae_freyfaces_reconstructions.png)

From one frame to another, six steps on the straight line between their posterior means:

![transitions](figures/mpvae_freyfaces_transitions.png)

Two frames, two latent axes moved by delta sigma:

![variants](figures/mpvae_freyfaces_variants.png)

Samples from the prior. None of the three draws faces: all frames are of one face, their codes vary together, and what
pulls the codes towards the prior, datum by datum or by the moments of each axis, does not see that:

![samples](figures/mpvae_freyfaces_samples.png)

![posterior standard deviations](figures/mpvae_freyfaces_spread.png)

![two codes](figures/mpvae_freyfaces_codes.png)
"""
    (FIGURES.parent / "mpvae_freyfaces.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
