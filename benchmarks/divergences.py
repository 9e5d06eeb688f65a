"""Time and memory of the divergences, gradients included, beside the formula written down naively.

Run ``python benchmarks/divergences.py`` (about two minutes on one core; ``--quick`` for small sizes only). It prints
a table, and writes it to ``benchmarks/DIVERGENCES.md`` and, with a description of the machine, to
``benchmarks/results/divergences.json``. Each measurement runs in a process of its own with one thread: the time is
the best of as many repetitions as fit into half a second, the memory what the peak exceeds that of the idle process
by, including what the C allocator keeps of freed blocks (live tensors need a fraction of it). An exponent is the
slope of log time over log size from the row above.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import platform
import resource
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import torch
from pyro.distributions import Normal
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from pyro_mixvae.distributions import GaussianMixture
from pyro_mixvae.divergences import cauchy_schwarz, dhsic, mmd
from pyro_mixvae.divergences.cauchy_schwarz_gaussian import (
    log_overlap,
    log_self_overlap,
    pairwise,
    reweighted,
)
from pyro_mixvae.divergences.gaussian_components import GaussianComponents, gaussian_components

HERE = Path(__file__).parent
LARGEST_NAIVE = 50_000_000
"""A naive formula is skipped where one of its intermediate results would have more numbers than this."""


class Case(NamedTuple):
    """One row of the table: a quantity at one size, and how large the naive intermediate results are."""

    quantity: str
    sizes: dict[str, int]
    varied: str
    run: Callable[..., Tensor]
    naive: Callable[..., Tensor]
    naive_numel: int


class Measurement(NamedTuple):
    seconds: float
    megabytes: float


# What is measured. Each function takes its sizes and returns a scalar on which backward is called.


def leaf(*shape: int) -> Tensor:
    return torch.randn(shape).requires_grad_()


def scales(*shape: int) -> Tensor:
    return (0.5 + torch.rand(shape)).requires_grad_()


def posterior(B: int, D: int) -> Normal:
    return Normal(leaf(B, D), scales(B, D)).to_event(1)


def prior(K: int, D: int) -> GaussianMixture:
    return GaussianMixture(leaf(K), leaf(K, D), scales(K, D), validate_args=False)


def components(distribution: Normal | GaussianMixture) -> GaussianComponents:
    found = gaussian_components(distribution)
    assert found is not None
    return reweighted(found)


def cross_term(B: int, K: int, D: int) -> Tensor:
    return log_overlap(components(posterior(B, D)), components(prior(K, D))).mean()


def naive_cross_term(B: int, K: int, D: int) -> Tensor:
    q, p = components(posterior(B, D)), components(prior(K, D))
    return torch.logsumexp(p.log_weights - pairwise(*q[1:], *p[1:]).squeeze(-2), -1).mean()


def self_term(K: int, D: int) -> Tensor:
    return log_self_overlap(components(prior(K, D)))


def naive_self_term(K: int, D: int) -> Tensor:
    p = components(prior(K, D))
    log_weights = p.log_weights.unsqueeze(-1) + p.log_weights
    return torch.logsumexp(log_weights - pairwise(*p[1:], *p[1:]), (-2, -1))


def in_a_plate(B: int, K: int, D: int) -> Tensor:
    return cauchy_schwarz(posterior(B, D), prior(K, D).expand(torch.Size([B]))).mean()


def naive_in_a_plate(B: int, K: int, D: int) -> Tensor:
    """Without regard to what is shared: the prior's self-term for each datum."""
    q = components(posterior(B, D))
    p = GaussianComponents(*(t.expand(B, *t.shape).clone() for t in components(prior(K, D))))
    log_weights = p.log_weights.unsqueeze(-1) + p.log_weights.unsqueeze(-2)
    own = torch.logsumexp(log_weights - pairwise(*p[1:], *p[1:]), (-2, -1))
    return (0.5 * own - torch.logsumexp(p.log_weights - pairwise(*q[1:], *p[1:]).squeeze(-2), -1)).mean()


def dependence(n: int, D: int) -> Tensor:
    return dhsic([leaf(n, D), leaf(n, D)])


def naive_dependence(n: int, D: int) -> Tensor:
    kernels = []
    for code in (leaf(n, D), leaf(n, D)):
        squares = (code.unsqueeze(1) - code).square().sum(-1)
        kernels.append(torch.exp(-squares / squares.detach()[*torch.triu_indices(n, n, 1)].median()))
    one, other = kernels
    return (one * other).mean() + one.mean() * other.mean() - 2 * (one.mean(1) * other.mean(1)).mean()


def discrepancy(n: int, D: int) -> Tensor:
    return mmd(leaf(n, D), torch.randn(n, D))


def naive_discrepancy(n: int, D: int) -> Tensor:
    x, y = leaf(n, D), torch.randn(n, D)

    def similarity(a: Tensor, b: Tensor) -> Tensor:
        return (1 / (1 + (a.unsqueeze(1) - b).square().sum(-1) / (2 * D))).mean()

    return similarity(x, x) + similarity(y, y) - 2 * similarity(x, y)


def cases(largest: int) -> list[Case]:
    def up_to(*sizes: int) -> list[int]:
        return [size for size in sizes if size <= largest]

    return [
        *(
            Case("CS, cross term", {"B": 100, "K": K, "D": 40}, "K", cross_term, naive_cross_term, 4_000 * K)
            for K in up_to(64, 256, 1024, 4096)
        ),
        *(
            Case("CS, cross term", {"B": B, "K": 400, "D": 40}, "B", cross_term, naive_cross_term, 16_000 * B)
            for B in up_to(64, 256, 1024, 4096)
        ),
        *(
            Case("CS, self term", {"K": K, "D": 40}, "K", self_term, naive_self_term, 40 * K**2)
            for K in up_to(64, 256, 1024, 2048, 4096)
        ),
        *(
            Case("CS, self term", {"K": 512, "D": D}, "D", self_term, naive_self_term, 512**2 * D)
            for D in (10, 40, 160)
        ),
        *(
            Case("CS, prior in a plate", sizes, "K", in_a_plate, naive_in_a_plate, 4_000 * K**2)
            for K in up_to(16, 64, 400, 1024, 4096)
            for sizes in [{"B": 100, "K": K, "D": 40}]
        ),
        *(
            Case("dHSIC of 2 variables", {"n": n, "D": 10}, "n", dependence, naive_dependence, 10 * n**2)
            for n in up_to(256, 1024, 2048, 4096)
        ),
        *(
            Case("MMD", {"n": n, "D": 10}, "n", discrepancy, naive_discrepancy, 10 * n**2)
            for n in up_to(256, 1024, 2048, 4096)
        ),
    ]


# How it is measured.


def measure(function: Callable[..., Tensor], sizes: dict[str, int]) -> Measurement:
    """Time and extra memory of value and gradient, in a process of its own."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(sender, function, sizes))
    process.start()
    result = receiver.recv()
    process.join()
    return result


def _measure(sender: Connection, function: Callable[..., Tensor], sizes: dict[str, int]) -> None:
    torch.manual_seed(0)
    function(**dict.fromkeys(sizes, 8)).backward()
    before, times = _peak_megabytes(), []
    while sum(times) < 0.5:
        start = time.perf_counter()
        function(**sizes).backward()
        times.append(time.perf_counter() - start)
    sender.send(Measurement(min(times), _peak_megabytes() - before))


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def machine() -> dict[str, str | int]:
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    return {
        "cpu": cpu,
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="sizes up to 512 only, and nothing is written")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    checkpoint(torch.sin, leaf(1), use_reentrant=False)  # torch imports its compiler at the first call: once, 1 s

    results: list[dict] = []
    previous: dict[tuple[str, str], dict] = {}
    for case in cases(512 if quick else 4096):
        own = measure(case.run, case.sizes)
        naive = measure(case.naive, case.sizes) if case.naive_numel <= LARGEST_NAIVE else None
        result = {
            "quantity": case.quantity,
            "sizes": case.sizes,
            "varied": case.varied,
            "seconds": own.seconds,
            "megabytes": own.megabytes,
            "naive_seconds": naive and naive.seconds,
            "naive_megabytes": naive and naive.megabytes,
        }
        before = previous.get((case.quantity, case.varied))
        if before is not None:
            growth = case.sizes[case.varied] / before["sizes"][case.varied]
            result["exponent"] = math.log(own.seconds / before["seconds"]) / math.log(growth)
        previous[case.quantity, case.varied] = result
        results.append(result)

    table = as_table(results)
    print(table)
    if not quick:
        description = machine()
        (HERE / "results").mkdir(exist_ok=True)
        content = json.dumps({"machine": description, "results": results}, indent=2)
        (HERE / "results" / "divergences.json").write_text(content + "\n")
        title = "# Time and memory of the divergences\n\nWritten by `python benchmarks/divergences.py`; see there.\n"
        where = "\n".join(f"- {name}: {value}" for name, value in description.items())
        (HERE / "DIVERGENCES.md").write_text(f"{title}\n{where}\n\n{table}\n")


def as_table(results: list[dict]) -> str:
    lines = [
        "| quantity, value and gradient | size | seconds | MB | exponent | naive seconds | naive MB |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in results:
        sizes = ", ".join(f"{name} = {size}" for name, size in row["sizes"].items())
        exponent = f"{row['varied']}^{row['exponent']:.2f}" if "exponent" in row else ""
        naive = ("too large", "") if row["naive_seconds"] is None else _cells(row, "naive_")
        lines.append("| " + " | ".join([row["quantity"], sizes, *_cells(row), exponent, *naive]) + " |")
    return "\n".join(lines)


def _cells(row: dict, prefix: str = "") -> tuple[str, str]:
    return f"{row[prefix + 'seconds']:.4f}", f"{row[prefix + 'megabytes']:.0f}"


if __name__ == "__main__":
    main()
