"""How many of six components an MVAE keeps when the data are made by two generators and one component holds one.

python -m benchmarks.mvae_selection [--seeds 5]

Each run's result is kept; those that are there already are not run again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.record import FIGURES, HERE, RESULTS, described, write_json
from pyro_mixvae.models import MVAE
from pyro_mixvae.training import fit
from pyro_mixvae.training.mixture_views import selection

NAME = "mvae_selection"
NUM_DATA, DIM, CODE, NUM_COMPONENTS = 1000, 20, 2, 6
#: b of the Dirichlet prior, the standard deviation of the likelihood, and the rate that all components start with.
SPARSITY, SCALE, START = 0.12, 0.3, 0.8
EPOCHS, BATCH, LR, RATES_LR = 800, 200, 1e-2, 3e-2
#: Numbers of components that are trained without dropout, to see what the data need.
FIXED, FIXED_EPOCHS = (1, 2, 3, 6), 150
NETWORK = {"kind": "mlp", "hidden_dims": [32]}


def two_generators(num_data: int = NUM_DATA, seed: int = 0) -> Tensor:
    """Each datum is the sum of what two random networks make, of two latent variables each, and noise of 0.1: [N, 20]."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    made = [torch.tanh(draw(num_data, 2) @ draw(2, 32) + draw(32)) @ draw(32, DIM) / 32**0.5 for _ in range(2)]
    return sum(made, torch.zeros(())) / 2**0.5 + 0.1 * draw(num_data, DIM)


def mixture(num_components: int, kl_weight: float | str = 1.0, **dropout: Any) -> MVAE:
    return MVAE(
        (DIM,),
        latent_dim=CODE,
        num_components=num_components,
        likelihood={"name": "normal", "scale": SCALE},
        encoder=NETWORK,
        mixed_shape=(32,),
        decoder=NETWORK,
        prior_concentration=SPARSITY,
        beta=0.0,
        kl_weight=kl_weight,
        **dropout,
    )


def trained(model: MVAE, x: Tensor, epochs: int, seed: int) -> tuple[list[dict[str, float]], dict[str, Any]]:
    def optimizer(parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        rates, others = [], []
        for parameter in parameters:
            (rates if parameter is model.masks.logit else others).append(parameter)
        groups = [{"params": others}, {"params": rates, "lr": RATES_LR}]
        return torch.optim.Adam([group for group in groups if group["params"]], lr=LR, fused=True)

    start = time.process_time()
    result = fit(model, x, max_epochs=epochs, optimizer=optimizer, batch_size=BATCH, seed=seed, progress=False)
    last = result.history[-1]
    return result.history, {
        "loss": last["train/loss"],
        "squared error": squared_error(model, x),
        "total variance": float(x.var(0).sum()),
        "cpu seconds": time.process_time() - start,
    }


@torch.no_grad()
def squared_error(model: MVAE, x: Tensor) -> float:
    return float((model.reconstruct(x) - x).square().sum(1).mean())


def fixed(num_components: int, seed: int) -> dict[str, Any]:
    x = two_generators(seed=seed)
    torch.manual_seed(seed)
    return trained(mixture(num_components), x, FIXED_EPOCHS, seed)[1]


def selected(seed: int, kl_weight: float | str = 1.0) -> dict[str, Any]:
    x = two_generators(seed=seed)
    torch.manual_seed(seed)
    model = mixture(NUM_COMPONENTS, kl_weight, dropout="gaussian", per_component=True, dropout_rate=START)
    history, found = trained(model, x, EPOCHS, seed)
    pruned = model.prune()
    names = [name for name in history[0] if name.startswith(("selected", "dropout_rate"))]
    return {
        "selected K": model.masks.selected(),
        "rates": model.masks.rates.tolist(),
        **found,
        "squared error, pruned": squared_error(pruned, x),
        "history": [{name: round(row[name], 4) for name in names} for row in history],
    }


def page(runs: dict[str, Any], seeds: range) -> str:
    chosen = [runs[f"seed {seed}"] for seed in seeds]
    counts = [run["selected K"] for run in chosen]
    rows = [
        f"| {seed} | {run['selected K']:.0f} | {', '.join(f'{rate:.2f}' for rate in run['rates'])} | "
        f"{run['squared error']:.3f} | {run['squared error, pruned']:.3f} | {run['total variance']:.2f} |"
        for seed, run in zip(seeds, chosen, strict=True)
    ]
    needed = [f"| {k} | {runs[f'K = {k}']['loss']:.2f} | {runs[f'K = {k}']['squared error']:.3f} |" for k in FIXED]
    copies = runs["paper's kl_weight"]
    text = f"""{NUM_DATA:,} data of {DIM} values, each the sum of what two random networks make of two latent variables each. A component's
code has {CODE} entries, so that one component holds one generator. `MVAE` with six components at the start, Gaussian masks
with a rate for each component (`per_component=True`, all {START:g} at first), {EPOCHS} epochs; selected K is the number of components
whose rate is at most 0.95. The mean over {len(counts)} seeds is {sum(counts) / len(counts):.1f}.

What is surplus is decided by the bound: `kl_weight=1` and `beta=0`. With the paper's 1/K a copy of a component costs
nothing, and copies do not feel each other's masks: rates at the end {", ".join(f"{rate:.2f}" for rate in copies["rates"])}, selected K
{copies["selected K"]:.0f} (seed 0). The prior of the weights is Dir({SPARSITY:g}): a sparse one lets
a surplus component have no weight at a datum, so that the noise of its mask is not felt. Prior,
rates and their step (Adam at {RATES_LR:g}, all else at {LR:g}) were chosen in some fifteen trials on two other seeds."""
    return f"""{described("MVAE with surplus components", text)}
| seed | selected K | rates | squared error | after prune() | total variance |
|---|---|---|---|---|---|
{chr(10).join(rows)}

![selection](figures/{NAME}.png)

What the data need: a fixed number of components without dropout, {FIXED_EPOCHS} epochs, seed 0.

| K | loss, nats | squared error |
|---|---|---|
{chr(10).join(needed)}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = range(parser.parse_args().seeds)
    torch.set_num_threads(1)
    wanted: dict[str, Callable[[], dict[str, Any]]] = {
        **{f"seed {seed}": partial(selected, seed) for seed in seeds},
        "paper's kl_weight": partial(selected, 0, "1/K"),
        **{f"K = {k}": partial(fixed, k, 0) for k in FIXED},
    }
    path = RESULTS / f"{NAME}.json"
    runs: dict[str, Any] = json.loads(path.read_text())["measured"] if path.exists() else {}
    for name, run in wanted.items():
        if name not in runs:
            runs[name] = run()
            if name != f"seed {seeds[0]}":
                runs[name].pop("history", None)  # one is drawn
            write_json(NAME, runs)
            print(name, {key: value for key, value in runs[name].items() if key != "history"}, flush=True)
    FIGURES.mkdir(exist_ok=True)
    selection(runs[f"seed {seeds[0]}"]["history"], NUM_COMPONENTS).savefig(FIGURES / f"{NAME}.png", dpi=90)
    (HERE / f"{NAME}.md").write_text(page(runs, seeds), encoding="utf-8")


if __name__ == "__main__":
    main()
