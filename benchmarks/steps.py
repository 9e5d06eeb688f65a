"""A training step: hand-written, with stock Pyro, and with ours, eager and compiled."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import pyro
import torch
from pyro.infer import SVI, Trace_ELBO, TraceEnum_ELBO
from torch import Tensor, nn

from benchmarks.by_hand import DATA, HandCSRAE, HandFactorial, HandGMVAE, HandMVAE, HandVAE
from benchmarks.record import FIGURES, HERE, described, write_json
from pyro_mixvae.figures.style import colour, dress, new_figure
from pyro_mixvae.infer import compiled
from pyro_mixvae.models import CSRAE, GMVAE, MVAE, VAE, FactorialMixtureVAE
from pyro_mixvae.models.base import MixtureVAE
from pyro_mixvae.training.compiled_step import after_step_of

Step = Callable[[Tensor], None]

BATCH, LR, NUM_DATA = 100, 1e-3, 50_000
BASE = "hand-written eager, default Adam"
FUSED = "hand-written eager, fused Adam"
HAND_COMPILED = "hand-written compiled, fused Adam"
STOCK = "stock Pyro: SVI and its Adam"
OURS = "ours eager, fused Adam"
OURS_COMPILED = "ours compiled, fused Adam"
VARIANTS = (BASE, FUSED, HAND_COMPILED, STOCK, OURS, OURS_COMPILED)
TARGETS = [(OURS, FUSED, 1.20), (OURS_COMPILED, HAND_COMPILED, 1.05), (OURS_COMPILED, BASE, 0.90)]


# --- the steps -------------------------------------------------------------------------------------------------------


def torch_step(loss: Callable[[Tensor], Tensor], module: nn.Module, fused: bool | None) -> Step:
    """One step of Adam; ``fused=None`` is torch's default."""
    optimizer = torch.optim.Adam(module.parameters(), lr=LR, fused=fused)

    def step(x: Tensor) -> None:
        optimizer.zero_grad()
        loss(x).backward()
        optimizer.step()

    return step


class PerDatum(nn.Module):
    """The objective as ``fit`` minimises it: divided by the number of data that it is a sum over."""

    def __init__(self, model: MixtureVAE) -> None:
        super().__init__()
        self.objective, self.num_data = model.objective()(model.model, model.guide), getattr(model, "num_data", None)

    def forward(self, x: Tensor) -> Tensor:
        return self.objective(x) / (self.num_data or len(x))


def whole(step: Step, model: nn.Module, compile: bool = False) -> Step:
    """With what follows the optimiser's step, such as a natural-gradient step; that of ours is compiled as in ``fit``."""
    ours, after = after_step_of(model, compile), getattr(model, "after", None)
    if ours is None and after is None:
        return step
    if ours is not None:
        after = lambda x: ours((x,), 0)  # noqa: E731
    elif compile:
        after = torch.compile(after)

    def both(x: Tensor) -> None:
        step(x)
        after(x)

    return both


def without_validation(step: Step) -> Step:
    """As ``fit`` runs it: what can be wrong was checked before."""

    def quick(x: Tensor) -> None:
        with pyro.validation_enabled(False):
            step(x)

    return quick


def steps(hand: Callable[[], nn.Module], ours: Callable[[], MixtureVAE], stock: type) -> dict[str, Step]:
    """The variants of one model's step."""
    plain, fused, inductor = hand(), hand(), hand()
    svi_model, eager, graph = ours(), ours(), ours()
    svi = SVI(
        svi_model.model,
        svi_model.guide,
        pyro.optim.Adam({"lr": LR}),
        stock(max_plate_nesting=2 if isinstance(svi_model, MVAE) else 1),
    )
    return {
        BASE: whole(torch_step(plain, plain, None), plain),
        FUSED: whole(torch_step(fused, fused, True), fused),
        HAND_COMPILED: whole(torch_step(torch.compile(inductor), inductor, True), inductor, compile=True),
        STOCK: whole(lambda x: svi.step(x), svi_model),
        OURS: without_validation(whole(torch_step(PerDatum(eager), eager, True), eager)),
        OURS_COMPILED: without_validation(
            whole(torch_step(compiled(PerDatum(graph)), graph, True), graph, compile=True)
        ),
    }


def hidden(width: int) -> dict[str, object]:
    return {"kind": "mlp", "hidden_dims": [width, width]}


OURS_BY_NAME: dict[str, Callable[[], MixtureVAE]] = {
    "GMVAE": lambda: GMVAE((DATA,), 10, 10, 10, encoder=hidden(500), decoder=hidden(500)),
    "VAE": lambda: VAE((DATA,), 20, encoder=hidden(300), decoder=hidden(300)),
    "CSRAE": lambda: CSRAE(
        (DATA,),
        20,
        400,
        prior={"name": "gaussian-mixture", "learn_weights": True},
        encoder=hidden(300),
        decoder=hidden(300),
    ),
    "factorial": lambda: FactorialMixtureVAE((DATA,), NUM_DATA, 64, 64, encoder=hidden(500), decoder=hidden(500)),
    "MVAE": lambda: MVAE((DATA,), 10, 6, dropout="gumbel"),
}

MODELS: dict[str, Callable[[], dict[str, Step]]] = {
    "GMVAE 784-500-500, K = 10": lambda: steps(HandGMVAE, OURS_BY_NAME["GMVAE"], TraceEnum_ELBO),
    "VAE 784-300-300": lambda: steps(HandVAE, OURS_BY_NAME["VAE"], Trace_ELBO),
    "CSRAE 784-300-300, K = 400": lambda: steps(HandCSRAE, OURS_BY_NAME["CSRAE"], Trace_ELBO),
    "factorial mixture 784-500-500, K = 64, D = 64": lambda: steps(
        lambda: HandFactorial(NUM_DATA), OURS_BY_NAME["factorial"], TraceEnum_ELBO
    ),
    "MVAE 784-500-500, K = 6": lambda: steps(HandMVAE, OURS_BY_NAME["MVAE"], Trace_ELBO),
}


CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "processor": time.process_time}


def measure(
    variants: dict[str, Step], rounds: int, steps_per_round: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Median seconds of a step in each round, the variants taking turns."""
    batches = torch.rand(8, BATCH, DATA)
    for step in variants.values():
        for x in batches:
            step(x)
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, step in variants.items():
            times = []
            for position in range(steps_per_round):
                start = clock()
                step(batches[position % len(batches)])
                times.append(clock() - start)
            seconds[name].append(statistics.median(times))
    return seconds


def ratio(seconds: dict[str, list[float]], first: str, second: str) -> float:
    """The median over the rounds of how much longer one variant's step takes than another's."""
    return statistics.median(a / b for a, b in zip(seconds[first], seconds[second], strict=True))


def picture(name: str, measured: dict[str, dict[str, dict[str, float]]]) -> None:
    """Each variant's step as a multiple of the hand-written eager one, model by model."""
    figure = new_figure(9.0, 3.2)
    axes = figure.subplots()
    for number, variant in enumerate(VARIANTS):
        heights = [row["seconds"][variant] / row["seconds"][BASE] for row in measured.values()]
        places = [place + (number - 2.5) * 0.14 for place in range(len(measured))]
        axes.bar(places, heights, width=0.13, color=colour(number), label=variant)
    axes.axhline(1.0, color="0.4", lw=0.8)
    axes.set(xticks=range(len(measured)), xticklabels=[name.split()[0] for name in measured])
    dress(axes, y="times the first")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    figure.savefig(FIGURES / f"{name}.png", dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--steps", type=int, default=20, help="in a round, for each variant")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="processor: for a machine that others use")
    parser.add_argument("--models", nargs="+", choices=[name.split()[0] for name in MODELS], help="all if left out")
    parser.add_argument("--name", default="steps", help="of the files that are written")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    measured, blocks = {}, []
    for name, make in MODELS.items():
        if options.models and name.split()[0] not in options.models:
            continue
        torch.manual_seed(0)
        pyro.clear_param_store()
        seconds = measure(make(), options.rounds, options.steps, CLOCKS[options.clock])
        medians = {variant: statistics.median(times) for variant, times in seconds.items()}
        ratios = {f"{a} / {b}": {"ratio": ratio(seconds, a, b), "target": target} for a, b, target in TARGETS}
        measured[name] = {"seconds": medians, "ratios": ratios, "rounds": seconds}
        rows = [f"| {v} | {1000 * t:.2f} | {ratio(seconds, v, BASE):.2f} |" for v, t in medians.items()]
        table = f"| {name} | step, ms | times {BASE} |\n|---|---|---|\n" + "\n".join(rows)
        goals = [f"| {what} | {r['ratio']:.2f} | {r['target']:.2f} |" for what, r in ratios.items()]
        blocks.append(f"{table}\n\n| ratio | measured | at most |\n|---|---|---|\n" + "\n".join(goals))
    write_json(options.name, measured)
    picture(options.name, measured)
    text = (
        f"Batches of {BATCH}; the variants take turns, {options.rounds} rounds of {options.steps} steps each; a ratio "
        "is the median over the rounds of the ratio of that round's medians, so that what else runs on the machine "
        f"slows both alike. Clock: {options.clock} time. Validation is on for stock Pyro, as it is by default, and off for ours, as in `fit`. Stock Pyro knows no Cauchy-Schwarz divergence: its row for the CSRAE is a sampled KL, another and cheaper objective."
    )
    page = (
        described("A training step", text) + "\n" + "\n\n".join(blocks) + f"\n\n![steps](figures/{options.name}.png)\n"
    )
    (HERE / f"{options.name}.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
