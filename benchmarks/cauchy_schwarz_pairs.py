"""The Cauchy-Schwarz divergence of a batch of posteriors from a mixture, with its gradients, eager and compiled.

python -m benchmarks.cauchy_schwarz_pairs [--rounds 15] [--name cauchy_schwarz_pairs]

B = 100 diagonal Gaussians and a mixture of K = 400, as in the recipe mixture-csrae-mnist, whose self term has K^2 pairs.
An older version is measured by the same command with its folder first in PYTHONPATH, and --name cauchy_schwarz_pairs_before.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Independent, Normal
from torch.fx.experimental.proxy_tensor import make_fx

from benchmarks.record import HERE, described, write_json
from pyro_mixvae.distributions import GaussianMixture
from pyro_mixvae.divergences import cauchy_schwarz

NAME = "cauchy_schwarz_pairs"
BATCH, COMPONENTS, DIMS = 100, 400, (10, 20, 40, 128)


def with_gradients(*leaves: Tensor) -> tuple[Tensor, ...]:
    """The summed divergence and its gradients in all five parameters."""
    loc, scale, *mixture = leaves
    q = Independent(Normal(loc, scale, validate_args=False), 1, validate_args=False)
    total = cauchy_schwarz(q, GaussianMixture(*mixture, validate_args=False)).sum()
    return total, *torch.autograd.grad(total, leaves)


def parameters(dim: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(dim)
    shapes = [(BATCH, dim), (BATCH, dim), (COMPONENTS,), (COMPONENTS, dim), (COMPONENTS, dim)]
    values = [torch.randn(shape, generator=generator) for shape in shapes]
    values[1], values[4] = values[1].exp(), values[4].exp()
    return [value.requires_grad_() for value in values]


def milliseconds(function: Callable[[], object], rounds: int) -> float:
    """The median of the processor's time, so that others on the machine do not count."""
    times = []
    for _ in range(3 + rounds):
        start = time.process_time()
        function()
        times.append(1e3 * (time.process_time() - start))
    return statistics.median(times[3:])


def page(measured: dict[str, dict[str, float]], before: dict[str, dict[str, float]]) -> str:
    lines = [
        described(
            "The Cauchy-Schwarz divergence of a batch and its gradients",
            f"{BATCH} diagonal Gaussians and a mixture of {COMPONENTS} Gaussians, in milliseconds of the processor. Before: "
            "the version 004a615, whose backward pass computed the divergences of all pairs again and summed rows and "
            "columns in one loop.",
        ),
        "| D | eager | compiled | eager, before | compiled, before |",
        "|---|---|---|---|---|",
    ]
    for dim, now in measured.items():
        then = before.get(dim, {})
        cells = [now["eager"], now["compiled"], then.get("eager"), then.get("compiled")]
        lines.append(f"| {dim} | " + " | ".join("–" if cell is None else f"{cell:.1f}" for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--name", default=NAME)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    measured = {}
    for dim in DIMS:
        leaves = parameters(dim)
        graph = torch.compile(make_fx(with_gradients)(*leaves), fullgraph=True, dynamic=False)
        still = [leaf.detach() for leaf in leaves]
        measured[str(dim)] = {
            "eager": milliseconds(lambda leaves=leaves: with_gradients(*leaves), arguments.rounds),
            "compiled": milliseconds(lambda graph=graph, still=still: graph(*still), arguments.rounds),
        }
        torch._dynamo.reset()
        print(dim, measured[str(dim)])
    write_json(arguments.name, measured)
    earlier = HERE / "results" / f"{NAME}_before.json"
    if arguments.name == NAME:
        before = json.loads(earlier.read_text(encoding="utf-8"))["measured"] if earlier.exists() else {}
        (HERE / f"{NAME}.md").write_text(page(measured, before), encoding="utf-8")


if __name__ == "__main__":
    main()
