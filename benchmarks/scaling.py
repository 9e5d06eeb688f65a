"""Time and memory of a step against K, D, B, N and the number of particles, with log-log slopes.

python -m benchmarks.scaling [--clock processor] [--models GMVAE CSRAE ...]

A step is the objective's value and its gradient; for the factorial mixture the natural-gradient step too. Memory is what
the forward pass keeps for the backward pass.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import pyro
import torch

from benchmarks.record import FIGURES, HERE, described, write_json
from pyro_mixvae.divergences.cauchy_schwarz_gaussian import log_overlap
from pyro_mixvae.divergences.gaussian_components import GaussianComponents
from pyro_mixvae.figures.style import colour, dress, marker, new_figure
from pyro_mixvae.models import CSRAE, GMVAE, MVAE, FactorialMixtureVAE

NAME, DATA, LATENT = "scaling", 784, 20
NETWORK = {"kind": "mlp", "hidden_dims": [200, 200]}
NETWORKS: dict[str, Any] = {"encoder": NETWORK, "decoder": NETWORK}
SIZES = {
    "K": (64, 256, 1024, 4096),
    "D": (5, 20, 80, 320),
    "B": (25, 100, 400, 1600),
    "N": (10_000, 100_000, 1_000_000),
    "particles": (1, 4, 16, 64),
}
START = {"K": 64, "D": LATENT, "B": 100, "N": 50_000, "particles": 1}
MIXTURE = {"name": "gaussian-mixture", "learn_weights": True}


def gmvae(size: dict[str, int]) -> Any:
    return GMVAE((DATA,), size["D"], size["K"], 10, num_particles=size["particles"], **NETWORKS)


def csrae(size: dict[str, int]) -> Any:
    return CSRAE((DATA,), size["D"], size["K"], prior=MIXTURE, num_particles=size["particles"], **NETWORKS)


def factorial(size: dict[str, int]) -> Any:
    sizes = {"num_components": size["K"], "num_particles": size["particles"]}
    return FactorialMixtureVAE((DATA,), size["N"], size["D"], **sizes, **NETWORKS)


def mvae(size: dict[str, int]) -> Any:
    sizes = {"num_components": size["K"], "num_particles": size["particles"]}
    return MVAE((DATA,), size["D"], encoder=NETWORK, mixed_shape=(200,), decoder=NETWORK, **sizes)


def cross_term(size: dict[str, int]) -> Callable[[], None]:
    """What the Cauchy-Schwarz divergence does for each datum and component, without its self term."""
    codes, locs = torch.randn(size["B"], size["D"]), torch.randn(size["K"], size["D"])
    trained = [tensor.requires_grad_() for tensor in (codes, locs)]
    weights = torch.full((size["K"],), -math.log(size["K"]))

    def step() -> None:
        codes, locs = trained
        q = GaussianComponents(torch.zeros(len(codes), 1), codes.unsqueeze(1), torch.full_like(codes, 0.1).unsqueeze(1))
        log_overlap(q, GaussianComponents(weights, locs, torch.ones_like(locs))).sum().backward()

    return step


#: Each model, and what it is measured against. The Cauchy-Schwarz self term of a mixture is quadratic in K by nature.
MODELS: dict[str, tuple[Callable[[dict[str, int]], Any], tuple[str, ...]]] = {
    "GMVAE": (gmvae, ("K", "D", "B", "particles")),
    "cross term": (cross_term, ("K", "D", "B")),
    "CSRAE": (csrae, ("K", "D", "B", "particles")),
    "factorial": (factorial, ("K", "D", "B", "N", "particles")),
    "MVAE": (mvae, ("D", "B", "particles")),
}


def step_of(model: Any, batch: int) -> Callable[[], None]:
    objective, x = model.objective()(model.model, model.guide), torch.rand(batch, DATA)

    def step() -> None:
        objective(x).backward()
        if hasattr(model, "after_step"):
            model.after_step((x,), 0)

    return step


def measure(step: Callable[[], None], clock: Callable[[], float], repeats: int) -> tuple[float, float]:
    """Median seconds of a step, and MiB that the forward pass keeps."""
    kept = 0

    def count(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        step()
    seconds = []
    for _ in range(repeats):
        start = clock()
        step()
        seconds.append(clock() - start)
    return statistics.median(seconds), kept / 2**20


def slope(sizes: tuple[int, ...], values: list[float]) -> float:
    """The least-squares slope of log value against log size."""
    x, y = ([math.log(value) for value in series] for series in (sizes, values))
    mean_x, mean_y = statistics.mean(x), statistics.mean(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum((a - mean_x) ** 2 for a in x)


def picture(measured: dict[str, Any]) -> None:
    figure = new_figure(10.0, 3.2)
    panels = figure.subplots(1, len(SIZES), sharey=True)
    for axes, what in zip(panels, SIZES, strict=True):
        for number, name in enumerate(MODELS):
            if row := measured.get(f"{name} against {what}"):
                milliseconds = [1000 * t for t in row["seconds"]]
                axes.loglog(row["sizes"], milliseconds, marker=marker(number), ms=3, color=colour(number), label=name)
        dress(axes, x=what)
    dress(panels[0], x=next(iter(SIZES)), y="step, ms")
    lines = {line.get_label(): line for axes in panels for line in axes.get_lines()}
    figure.legend(list(lines.values()), list(lines), loc="outside upper center", ncols=len(lines), frameon=False)
    figure.savefig(FIGURES / f"{NAME}.png", dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=["wall", "processor"], default="wall")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clock = time.perf_counter if arguments.clock == "wall" else time.process_time
    measured: dict[str, Any] = {}
    for name in arguments.models:
        make, against = MODELS[name]
        for what in against:
            results = []
            for size in SIZES[what]:
                torch.manual_seed(0)
                chosen = START | {what: size} | ({"K": 6} if name == "MVAE" else {})
                with pyro.validation_enabled(False):
                    made = make(chosen)
                    step = step_of(made, chosen["B"]) if isinstance(made, torch.nn.Module) else made
                    results.append(measure(step, clock, arguments.repeats))
            seconds, memory = [list(column) for column in zip(*results, strict=True)]
            slopes = {"time": slope(SIZES[what], seconds), "memory": slope(SIZES[what], memory)}
            measured[f"{name} against {what}"] = {
                "sizes": SIZES[what],
                "seconds": seconds,
                "memory_mib": memory,
                "slopes": slopes,
            }
            print(name, what, [f"{1000 * t:.1f}" for t in seconds], f"slope {slopes['time']:.2f}", flush=True)
    write_json(NAME, measured)
    picture(measured)
    lines = ["| step | sizes | ms | slope of time | slope of memory |", "|---|---|---|---|---|"]
    for title, row in measured.items():
        numbers = ", ".join(f"{1000 * t:.1f}" for t in row["seconds"])
        sizes = ", ".join(f"{size:,}" for size in row["sizes"])
        lines.append(f"| {title} | {sizes} | {numbers} | {row['slopes']['time']:.2f} | {row['slopes']['memory']:.2f} |")
    text = f"One step (value and gradient; the factorial mixture's natural-gradient step too) with networks 784-200-200, else K = 64 (MVAE: 6), D = {LATENT}, B = 100; least-squares slopes in log-log, {arguments.clock} time. A slope of at most 1 is linear growth; the cross term is what the Cauchy-Schwarz divergence does for each datum and component; the self term of the Cauchy-Schwarz divergence sums over pairs of components, which is K squared by nature."
    (HERE / f"{NAME}.md").write_text(
        described("Growth of a step", text) + "\n" + "\n".join(lines) + f"\n\n![growth](figures/{NAME}.png)\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
