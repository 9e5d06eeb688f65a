"""Figures 2 and 3 of the GMVAE paper: five arcs, with and without the minimum-information constraint."""

from __future__ import annotations

import argparse
from typing import Any

import torch
from sklearn.mixture import GaussianMixture

from benchmarks.record import FIGURES, described, write_json
from pyro_mixvae import figures
from pyro_mixvae.metrics import clustering_scores
from pyro_mixvae.models import GMVAE
from pyro_mixvae.training.fit import fit
from pyro_mixvae.training.recipe import Recipe, read_recipe
from pyro_mixvae.training.run import build_model, fit_options, open_data
from pyro_mixvae.training.watch import ClusterWatch

LIKELIHOOD_SAMPLES = 1000


def with_floor(recipe: Recipe, floor: float) -> Recipe:
    sections = {**recipe.sections, "objective": {**recipe.sections["objective"], "c_prior_floor": floor}}
    return Recipe(recipe.name, recipe.description, sections)


def run(recipe: Recipe, data: Any, seed: int) -> tuple[GMVAE, ClusterWatch, dict[str, float]]:
    model = build_model(recipe, data, seed)
    watch = ClusterWatch(data.test.x, keep_codes=True)
    result = fit(model, data, seed=seed, callbacks=[watch], **fit_options(recipe))
    torch.manual_seed(seed)
    scores = clustering_scores(model.log_responsibilities(data.test.x), data.test.y)
    scores["log_likelihood"] = model.log_likelihood(data.test.x, LIKELIHOOD_SAMPLES).mean().item()
    scores["c_prior"] = watch.c_prior[-1]
    scores["seconds"] = result.seconds
    return model, watch, scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    recipe = read_recipe("gmvae-arcs")
    data = open_data(recipe)
    floor = recipe.sections["objective"]["c_prior_floor"]
    settings = {"with the constraint": floor, "without it": 0.0}

    measured: dict[str, list[dict[str, float]]] = {}
    first: dict[str, tuple[GMVAE, ClusterWatch]] = {}
    for name, value in settings.items():
        for seed in range(arguments.seeds):
            model, watch, scores = run(with_floor(recipe, value), data, seed)
            measured.setdefault(name, []).append(scores)
            first.setdefault(name, (model, watch))
    mixture = GaussianMixture(10, n_init=10, random_state=0).fit(data.train.x.numpy())
    plain = float(mixture.score(data.test.x.numpy()))
    write_json("gmvae_arcs", {"runs": measured, "Gaussian mixture log-likelihood": plain, "floor": floor})

    model, watch = first["with the constraint"]
    start = next(epoch for epoch, value in enumerate(watch.c_prior) if value > floor)
    panels = {
        "without the constraint": first["without it"][1].codes[-1],
        f"with it, epoch {start + 1}: floor reached": watch.codes[start],
        "with it, at the end": watch.codes[-1],
    }
    axis = torch.linspace(-1.6, 1.6, 120)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1)
    log_density = model.log_likelihood(grid.reshape(-1, 2), 200).reshape(120, 120)
    of_mixture = torch.tensor(mixture.score_samples(grid.reshape(-1, 2).numpy())).reshape(120, 120)
    curves = {name: watch.c_prior for name, (_, watch) in first.items()}
    FIGURES.mkdir(exist_ok=True)
    drawn = {
        "gmvae_arcs_density": figures.density_2d(
            grid, {"GMVAE": log_density, "Gaussian mixture": of_mixture}, data.test.x
        ),
        "gmvae_arcs_latent": figures.latent_scatter_panels(panels, data.test.y),
        "gmvae_arcs_c_prior": figures.prior_term(curves, {"with the constraint": floor}),
    }
    for name, figure in drawn.items():
        figure.savefig(FIGURES / f"{name}.png", dpi=110)

    rows = [
        f"| {name} | {seed} | {s['c_prior']:.3f} | {s['accuracy']:.3f} | {s['ari']:.3f} | {s['log_likelihood']:.3f} |"
        for name, runs in measured.items()
        for seed, s in enumerate(runs)
    ]
    lost = sum(scores["c_prior"] < 0.01 for scores in measured["without it"])
    text = f"""The recipe `gmvae-arcs` as it is (lambda = {floor:g}) and with `c_prior_floor` 0. Without the constraint
the c-prior term KL(q(c | z, w) || 1/K) falls to 0 and the components become one in {lost} of {arguments.seeds} seeds
(in
the others the recipe's warm-up alone has spread the clusters); with it the five arcs are separated in all of them. A
plain Gaussian mixture with as many components (10, full covariances, the best of 10 starts) has a held-out
log-likelihood of {plain:.3f} nats; the GMVAE's is importance-sampled with {LIKELIHOOD_SAMPLES:,} draws, so a lower
bound in expectation."""
    page = f"""{described("Five arcs (GMVAE paper, figures 2 and 3)", text)}
| objective | seed | c-prior term, nats | accuracy (most-confident) | ARI | held-out log-likelihood, nats |
|---|---|---|---|---|---|
{chr(10).join(rows)}

![densities](figures/gmvae_arcs_density.png)

![latent space](figures/gmvae_arcs_latent.png)

![c-prior term](figures/gmvae_arcs_c_prior.png)
"""
    (FIGURES.parent / "gmvae_arcs.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
