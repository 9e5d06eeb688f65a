"""What a training step takes with networks in bfloat16, beside the same step in single precision.

python -m benchmarks.half_precision [--steps 20] [--device cpu]

Compiled losses and gradients of both kinds are made in turn, at the same weights; a ratio is the median of the pairs'
ratios. One thread's processor time is taken, so that other work on the machine weighs little. On a processor without
bfloat16 arithmetic (on Linux, no ``avx512_bf16`` or ``amx_bf16`` among the flags in /proc/cpuinfo) it is no gain.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.record import HERE, described, write_json
from pyro_mixvae.data.dataset import DataSet, Split
from pyro_mixvae.infer import compiled
from pyro_mixvae.training.options import apply_options
from pyro_mixvae.training.recipe import read_recipe
from pyro_mixvae.training.run import build_model

WARM = 3
#: Title, recipe, options, size of a batch.
ROWS: tuple[tuple[str, str, list[str], int], ...] = (
    ("GMVAE, 784-500-500, K = 30, M = 1", "gmvae-mnist-mlp", [], 128),
    ("the same, M = 10", "gmvae-mnist-mlp", ["--objective.num_particles=10"], 128),
    ("GMVAE, the paper's convolutions, K = 10", "gmvae-mnist", [], 50),
    ("VAE, 784-300-300", "vae-mnist", [], 100),
    ("Mixture-CSRAE, 784-300-300, K = 400", "mixture-csrae-mnist", [], 100),
    ("factorial mixture, convolutions, K = 64", "factorial-mnist", ["--model.num_components=[64]"], 64),
    ("MVAE, K = 6, relaxed masks", "mvae-mnist-gs", [], 64),
)


def step_of(model: Any, objective: Any, x: torch.Tensor, narrow: bool) -> Callable[[], float]:
    """Loss per datum at the present weights, and its gradients."""

    def step() -> float:
        model.zero_grad(set_to_none=True)
        torch.manual_seed(0)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=narrow):
            loss = objective(x) / (getattr(model, "num_data", None) or len(x))
        loss.backward()
        return loss.item()  # which waits for a GPU

    return step


def measure(recipe: str, options: list[str], batch: int, steps: int, device: str) -> dict[str, Any]:
    """Seconds of both kinds of steps by turns, and how far their losses are apart at the same weights and noise."""
    images = torch.rand(512, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    chosen, _ = apply_options(read_recipe(recipe), options)
    model = build_model(chosen, DataSet("noise", Split(images)), seed=0).to(device).train()
    x = images[:batch].to(device)
    objective = model.objective()(model.model, model.guide)
    wide, half = (step_of(model, objective, x, narrow)() for narrow in (False, True))
    both = [step_of(model, compiled(objective), x, narrow) for narrow in (False, True)]
    clock = time.process_time if device == "cpu" else time.perf_counter
    seconds: list[list[float]] = [[], []]
    for number in range(WARM + steps):
        for step, times in zip(both, seconds, strict=True):
            start = clock()
            step()
            if number >= WARM:
                times.append(clock() - start)
    ratio = statistics.median(narrow / full for full, narrow in zip(*seconds, strict=True))
    return {"seconds": seconds, "ratio": ratio, "loss": [wide, half]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    measured, rows = {}, []
    for title, recipe, options, batch in ROWS:
        result = measured[title] = measure(recipe, options, batch, arguments.steps, arguments.device)
        single, half = (1e3 * statistics.median(times) for times in result["seconds"])
        wide, narrow = result["loss"]
        rows.append(f"| {title} | {single:.1f} | {half:.1f} | {result['ratio']:.2f} | {narrow / wide - 1:+.1e} |")
        print(rows[-1], flush=True)
    name = "half_precision" if arguments.device == "cpu" else f"half_precision_{arguments.device}"
    write_json(name, measured)
    text = (
        "Loss and gradients of a batch, compiled, with the networks in single precision and in bfloat16 "
        "(`--trainer.precision=bf16-mixed`), everything else in single precision in both. The steps take turns, "
        f"{arguments.steps} of each; the ratio is the median of the pairs'. The last column is how far the two losses are "
        "apart at the first weights with the same noise, relative to the loss."
    )
    head = "| | float32, ms | bfloat16, ms | ratio | losses differ by |\n|---|---|---|---|---|\n"
    page = described("Networks in half precision", text) + "\n" + head + "\n".join(rows) + "\n"
    (HERE / f"{name}.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
