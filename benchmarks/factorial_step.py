"""What a step of the factorial mixture costs beside a plain VAE's with the same networks.

python -m benchmarks.factorial_step [--steps 30] [--components 64] [--device cpu]

A step of the factorial mixture is a gradient step of Adam and a natural-gradient step of q(xi); steps of the two models
are made in turn, so that a busy machine slows both, and the ratio is the median of the pairs' ratios.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import pyro
import torch

from benchmarks.record import HERE, described, write_json
from pyro_mixvae.models import VAE, FactorialMixtureVAE
from pyro_mixvae.training.recipe import read_recipe

BATCH, WARM = 64, 5


def step_of(model: Any, x: torch.Tensor) -> Callable[[], None]:
    """One training step: gradient, optimiser, and what follows it."""
    objective = model.objective()(model.model, model.guide)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        (objective(x) / (getattr(model, "num_data", None) or len(x))).backward()
        optimizer.step()
        if hasattr(model, "after_step"):
            model.after_step((x,), 0)
        if x.is_cuda:
            torch.cuda.synchronize()

    return step


def seconds(step: Callable[[], None]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--components", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    networks = {name: read_recipe("factorial-mnist").sections["model"][name] for name in ("encoder", "decoder")}
    torch.manual_seed(0)
    x = (torch.rand(BATCH, 1, 28, 28) < 0.2).float().to(arguments.device)
    models = {
        "VAE": VAE((1, 28, 28), latent_dim=64, **networks),
        "FactorialMixtureVAE": FactorialMixtureVAE(
            (1, 28, 28), 50_000, latent_dim=64, num_components=arguments.components, **networks
        ),
    }
    pyro.enable_validation(False)
    steps = {name: step_of(model.to(arguments.device), x) for name, model in models.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(WARM + arguments.steps):
        for name, step in steps.items():
            taken = seconds(step)
            if number >= WARM:
                times[name].append(taken)
    pairs = list(zip(*times.values(), strict=True))
    ratio = statistics.median(ours / plain for plain, ours in pairs)
    medians = {name: 1e3 * statistics.median(values) for name, values in times.items()}
    name = "factorial_step" if arguments.device == "cpu" else f"factorial_step_{arguments.device}"
    write_json(name, {"ratio": ratio, "milliseconds": medians, "seconds": times, "components": arguments.components})
    text = f"""The networks of the recipe `factorial-mnist` (eight convolutions and their mirror image), 28x28 images, batches of
{BATCH}, D = 64, K = {arguments.components}; {arguments.steps} pairs of steps made in turn on {arguments.device}. The factorial mixture's step
encodes the batch once more for its natural gradient; everything in K and D is a matrix product.

| | ms, median | ratio, median of pairs |
|---|---|---|
| VAE with N(0, I), Adam | {medians["VAE"]:.1f} | 1 |
| factorial mixture, Adam and natural gradient | {medians["FactorialMixtureVAE"]:.1f} | {ratio:.3f} |"""
    (HERE / f"{name}.md").write_text(described("A step of the factorial mixture", text), encoding="utf-8")
    print(f"{ratio:.3f}", medians)


if __name__ == "__main__":
    main()
