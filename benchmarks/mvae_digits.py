"""MVAE on real digits: what beta does to dHSIC; and how many components are left of six on data of two generators."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.record import FIGURES, RESULTS, described, write_json
from pyro_mixvae import figures
from pyro_mixvae.data import load
from pyro_mixvae.divergences import dhsic
from pyro_mixvae.models import MVAE
from pyro_mixvae.models.mvae_analysis import latent_codes, off_diagonal_mean, pairwise_dhsic
from pyro_mixvae.training import fit
from pyro_mixvae.training.mixture_views import selection

NAME = "mvae_digits"
BETAS = (0.0, 1.0, 10.0)
#: The digit whose codes are shown, as in figure 13 of the paper.
SHOWN = 1


def on_digits(beta: float) -> MVAE:
    """The paper's study (MVAE-GS, K = 6, two latent variables) with networks for 8x8 digits."""
    return MVAE(
        (1, 8, 8),
        latent_dim=2,
        num_components=6,
        likelihood={"name": "normal", "scale": 0.5},
        encoder={"kind": "mlp", "hidden_dims": [64]},
        mixed_shape=(64,),
        decoder={"kind": "mlp", "hidden_dims": [64]},
        dropout="gumbel",
        beta=beta,
    )


def on_two_generators() -> MVAE:
    """Six components at the start, with a Gaussian rate each that starts high and pays for itself or grows."""
    return MVAE(
        (20,),
        latent_dim=4,
        num_components=6,
        encoder={"kind": "mlp", "hidden_dims": [32]},
        mixed_shape=(32,),
        decoder={"kind": "mlp", "hidden_dims": [32]},
        dropout="gaussian",
        per_component=True,
        dropout_rate=0.8,
    )


def two_generators(num_data: int = 1000, seed: int = 0) -> Tensor:
    """Each datum is made by one of two random networks of two latent variables, with noise of 0.1: [N, 20]."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    made = [torch.tanh(draw(num_data, 2) @ draw(2, 32) + draw(32)) @ draw(32, 20) / 32**0.5 for _ in range(2)]
    first = torch.rand(num_data, 1, generator=generator) < 0.5
    return torch.where(first, *made) + 0.1 * draw(num_data, 20)


def dependence_run(beta: float, seed: int) -> tuple[MVAE, dict[str, Any]]:
    data = load("digits")
    torch.manual_seed(seed)
    model = on_digits(beta)
    start = time.process_time()
    result = fit(model, data, max_epochs=40, lr=2e-3, batch_size=100, seed=seed, progress=False)
    x = data.test.x
    torch.manual_seed(seed)
    with torch.no_grad():
        drawn = model.encode(x)["z"].sample()
    return model, {
        "joint dHSIC": float(dhsic(drawn.unbind(1))),
        "pairwise dHSIC": off_diagonal_mean(pairwise_dhsic(model, x)),
        "half squared error": 0.5 * float((model.reconstruct(x) - x).square().flatten(1).sum(1).mean()),
        "selected K": result.history[-1]["selected_components"],
        "dropout rate": result.history[-1]["dropout_rate"],
        "cpu seconds": time.process_time() - start,
    }


def selection_run(seed: int) -> tuple[MVAE, dict[str, Any]]:
    x = two_generators(seed=seed)
    torch.manual_seed(seed)
    model = on_two_generators()
    start = time.process_time()
    result = fit(model, x, max_epochs=80, lr=1e-2, batch_size=100, seed=seed, progress=False)
    pruned = model.prune()
    return model, {
        "selected K": model.masks.selected(),
        "rates": model.masks.rates.tolist(),
        "squared error": float((model.reconstruct(x) - x).square().sum(1).mean()),
        "squared error, pruned": float((pruned.reconstruct(x) - x).square().sum(1).mean()),
        "total variance": float(x.var(0).sum()),
        "history": [
            {name: row[name] for name in row if name.startswith(("selected", "dropout"))} for row in result.history
        ],
        "cpu seconds": time.process_time() - start,
    }


def measured(runs: dict[str, Any], name: str, run: Callable[[], tuple[MVAE, dict[str, Any]]]) -> MVAE | None:
    """Make a run unless it is on record already; every run is written at once, so that an interrupted study goes on."""
    if name in runs:
        return None
    model, runs[name] = run()
    write_json(NAME, runs)
    print(name, {key: value for key, value in runs[name].items() if key != "history"}, flush=True)
    return model


def draw(runs: dict[str, Any], models: dict[float, MVAE], data: Any) -> None:
    FIGURES.mkdir(exist_ok=True)
    drawn = {}
    if models:
        matrices = {f"beta = {beta:g}": pairwise_dhsic(model, data.test.x) for beta, model in models.items()}
        drawn[f"{NAME}_dependence"] = figures.dependence_matrix(matrices)
        shown = data.train.x[data.train.y == SHOWN]
        panels = {f"beta = {beta:g}": latent_codes(model, shown).flatten(0, 1) for beta, model in models.items()}
        owners = torch.arange(6).repeat(len(shown))
        drawn[f"{NAME}_latent"] = figures.latent_scatter_panels(panels, owners)
    if "two generators, seed 0" in runs:
        drawn[f"{NAME}_selection"] = selection(runs["two generators, seed 0"]["history"], 6)
    for name, figure in drawn.items():
        figure.savefig(FIGURES / f"{name}.png", dpi=110)


def page(runs: dict[str, Any], seeds: range) -> str:
    lines = ["| beta | " + " | ".join(f"seed {seed}" for seed in seeds) + " | mean |", "|---" * (len(seeds) + 2) + "|"]
    by_beta = {beta: [runs[f"beta {beta:g}, seed {seed}"] for seed in seeds] for beta in BETAS}
    for beta, found in by_beta.items():
        values = [run["joint dHSIC"] for run in found]
        cells = [f"{value:.5f}" for value in (*values, sum(values) / len(values))]
        lines.append(f"| {beta:g} | " + " | ".join(cells) + " |")
    pairs = []
    for low, high in ((0.0, 1.0), (1.0, 10.0), (0.0, 10.0)):
        both = zip(by_beta[low], by_beta[high], strict=True)
        lower = sum(second["joint dHSIC"] < first["joint dHSIC"] for first, second in both)
        pairs.append(f"From beta = {low:g} to {high:g} it falls for {lower} of {len(seeds)} seeds")
    selected = [runs[f"two generators, seed {seed}"] for seed in seeds]
    counts = [run["selected K"] for run in selected]
    lines_selected = [
        f"| {seed} | {run['selected K']:.0f} | {', '.join(f'{rate:.2f}' for rate in run['rates'])} | "
        f"{run['squared error']:.3f} | {run['squared error, pruned']:.3f} | {run['total variance']:.2f} |"
        for seed, run in zip(seeds, selected, strict=True)
    ]
    shared = [run["selected K"] for found in by_beta.values() for run in found]
    text = f"""Two studies with `MVAE`.

**beta and dHSIC.** MVAE-GS with K = 6 and two latent variables on the 1,437 training digits, 40 epochs; the joint dHSIC
of the six components' codes (draws from the posterior) on the 360 test digits, at the same seed for every beta.
{". ".join(pairs)}. With the one shared rate the paper's selected K, the expected number of masks >= 0.1, is
{min(shared):.2f} to {max(shared):.2f}.

**Components that switch themselves off.** 1,000 data of 20 values, each made by one of two random networks of two
latent variables; six components with a Gaussian rate each (`per_component=True`), 80 epochs. Selected K is the number
of components with a rate of at most 0.95; on average {sum(counts) / len(counts):.1f}."""
    return f"""{described("MVAE on digits, and on data of two generators", text)}
Joint dHSIC on test digits:

{chr(10).join(lines)}

![dHSIC of every pair](figures/{NAME}_dependence.png)

Posterior means of the training digits {SHOWN}, coloured by component:

![codes](figures/{NAME}_latent.png)

Data of two generators:

| seed | selected K | rates | squared error | after prune() | total variance |
|---|---|---|---|---|---|
{chr(10).join(lines_selected)}

![selection](figures/{NAME}_selection.png)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = range(parser.parse_args().seeds)
    torch.set_num_threads(1)
    path = RESULTS / f"{NAME}.json"
    runs: dict[str, Any] = json.loads(path.read_text())["measured"] if path.exists() else {}
    for seed in seeds:
        measured(runs, f"two generators, seed {seed}", lambda seed=seed: selection_run(seed))
    models: dict[float, MVAE] = {}
    for seed in seeds:
        for beta in BETAS:
            model = measured(
                runs, f"beta {beta:g}, seed {seed}", lambda beta=beta, seed=seed: dependence_run(beta, seed)
            )
            if model is not None and seed == 0:
                models[beta] = model
    draw(runs, models if len(models) == len(BETAS) else {}, load("digits"))
    (FIGURES.parent / f"{NAME}.md").write_text(page(runs, seeds), encoding="utf-8")


if __name__ == "__main__":
    main()
