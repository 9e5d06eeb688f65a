"""Where an eager step's time goes: ours beside the hand-written one.

python -m benchmarks.profile_step [--models GMVAE VAE ...]

Python's profiler slows what it looks at, most of all short calls; the table is therefore of shares, and the numbers of
operations and of Python's calls stand beside it. ``replayed`` is the recorded objective of
``compiled(..., backend="eager")``: torch's operations without Pyro and without a compiler.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.by_hand import DATA, HandCSRAE, HandFactorial, HandGMVAE, HandMVAE, HandVAE
from benchmarks.record import HERE, described, write_json
from benchmarks.steps import BATCH, NUM_DATA, OURS_BY_NAME, PerDatum, torch_step, whole, without_validation
from pyro_mixvae.infer import compiled

NAME, STEPS = "profile_step", 60
HANDS: dict[str, Callable[[], nn.Module]] = {
    "GMVAE": HandGMVAE,
    "VAE": HandVAE,
    "CSRAE": HandCSRAE,
    "factorial": lambda: HandFactorial(NUM_DATA),
    "MVAE": HandMVAE,
}
#: Whose code a function is, by the first of these that its file's path holds.
OWNERS = {
    "pyro_mixvae": "pyro_mixvae",
    "/pyro/": "Pyro",
    "torch/distributions": "torch.distributions",
    "torch/": "torch's Python",
    "{": "built-in functions: torch's operations",
}


class Operations(TorchDispatchMode):
    """Counts torch's operations."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.number += 1
        return function(*args, **(kwargs or {}))


def milliseconds(steps: dict[str, Callable[[Tensor], None]], x: Tensor) -> dict[str, float]:
    """Medians of steps in turn."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(STEPS + 10):
        for name, step in steps.items():
            start = time.perf_counter()
            step(x)
            if number >= 10:
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def profiled(step: Callable[[Tensor], None], x: Tensor) -> dict[str, Any]:
    """Shares of a step's time by owner of the code, Python's calls and torch's operations in a step."""
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(STEPS):
        step(x)
    profile.disable()
    stats: Any = pstats.Stats(profile)
    shares: dict[str, float] = {}
    for (file, _, function), (_, _, own, *_) in stats.stats.items():
        place = "{" if file == "~" else file
        owner = next((name for sign, name in OWNERS.items() if sign in place), "the rest")
        if "run_backward" in function:
            owner = "the backward pass"
        shares[owner] = shares.get(owner, 0.0) + own / stats.total_tt
    with Operations() as counted:
        step(x)
    return {"shares": shares, "calls": stats.total_calls / STEPS, "operations": counted.number}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=HANDS, default=list(HANDS))
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    x, measured, blocks = torch.rand(BATCH, DATA), {}, []
    for name in arguments.models:
        torch.manual_seed(0)
        hand, eager, recorded = HANDS[name](), OURS_BY_NAME[name](), OURS_BY_NAME[name]()
        replay = compiled(PerDatum(recorded), backend="eager")
        steps = {
            "hand-written": whole(torch_step(hand, hand, True), hand),
            "ours": without_validation(whole(torch_step(PerDatum(eager), eager, True), eager)),
            "ours, replayed": without_validation(whole(torch_step(replay, recorded, True), recorded)),
        }
        times = milliseconds(steps, x)
        found = {variant: profiled(steps[variant], x) for variant in ("hand-written", "ours")}
        measured[name] = {"milliseconds": times, "profiles": found}
        ratios = ", ".join(
            f"{variant} {value / times['hand-written']:.2f}" for variant, value in times.items() if "ours" in variant
        )
        owners = sorted(found["ours"]["shares"], key=lambda owner: -found["ours"]["shares"][owner])
        rows = [
            f"| {owner} | {_share(found['hand-written'], owner)} | {_share(found['ours'], owner)} |" for owner in owners
        ]
        counts = [
            f"| {title} | {found['hand-written'][key]:.0f} | {found['ours'][key]:.0f} |"
            for title, key in {"torch's operations in a step": "operations", "calls in Python": "calls"}.items()
        ]
        head = f"## {name}\n\nTimes the hand-written step ({times['hand-written']:.1f} ms): {ratios}.\n"
        blocks.append("\n".join([head, "| | hand-written | ours |", "|---|---|---|", *rows, *counts]))
    write_json(NAME, measured)
    text = (
        "Shares of the profiled time by whose code it was spent in; all steps eager, with fused Adam, validation off. "
        "`replayed` is the same objective recorded once and replayed operation by operation, without Pyro."
    )
    page = described("Where an eager step's time goes", text) + "\n" + "\n\n".join(blocks) + "\n"
    (HERE / f"{NAME}.md").write_text(page, encoding="utf-8")
    print(page)


def _share(found: dict[str, Any], owner: str) -> str:
    return f"{100 * found['shares'].get(owner, 0.0):.0f} %"


if __name__ == "__main__":
    main()
