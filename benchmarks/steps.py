"""A training step: hand-written, with stock Pyro, and with ours, eager and compiled."""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable

import pyro
import torch
from pyro.infer import SVI, Trace_ELBO, TraceEnum_ELBO
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from benchmarks.record import HERE, described, write_json
from pyro_mixvae.infer import compiled
from pyro_mixvae.models import GMVAE, VAE
from pyro_mixvae.models.base import MixtureVAE

Step = Callable[[Tensor], None]

BATCH, DATA, LR = 100, 784, 1e-3
BASE = "hand-written eager, default Adam"
FUSED = "hand-written eager, fused Adam"
HAND_COMPILED = "hand-written compiled, fused Adam"
STOCK = "stock Pyro: SVI and its Adam"
OURS = "ours eager, fused Adam"
OURS_COMPILED = "ours compiled, fused Adam"
TARGETS = [(OURS, FUSED, 1.20), (OURS_COMPILED, HAND_COMPILED, 1.05), (OURS_COMPILED, BASE, 0.90)]


# --- written by hand in plain torch ----------------------------------------------------------------------------------


def mlp(*widths: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width, following in itertools.pairwise(widths):
        layers += [nn.Linear(width, following), activation()]
    return nn.Sequential(*layers[:-1])


def gaussian(raw: Tensor) -> tuple[Tensor, Tensor]:
    loc, raw_scale = raw.chunk(2, -1)
    return loc, softplus(raw_scale) + 1e-4


def kl_to_standard(loc: Tensor, scale: Tensor) -> Tensor:
    return (0.5 * (loc.square() + scale.square() - 1) - scale.log()).sum()


class HandVAE(nn.Module):
    """784-300-300-20 and back, Bernoulli likelihood, the negative ELBO."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = mlp(DATA, 300, 300, 40), mlp(20, 300, 300, DATA)

    def forward(self, x: Tensor) -> Tensor:
        loc, scale = gaussian(self.encoder(x))
        z = loc + scale * torch.randn_like(scale)
        reconstruction = binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        return (reconstruction + kl_to_standard(loc, scale)) / len(x)


class HandGMVAE(nn.Module):
    """784-500-500-10 and back, K = 10, the negative of the paper's equation 4."""

    def __init__(self, num_components: int = 10, dim: int = 10) -> None:
        super().__init__()
        self.num_components, self.dim = num_components, dim
        self.encoder, self.decoder = mlp(DATA, 500, 500, 4 * dim), mlp(dim, 500, 500, DATA)
        self.prior = mlp(dim, 500, 2 * num_components * dim, activation=nn.Tanh)

    def forward(self, x: Tensor) -> Tensor:
        raw_z, raw_w = self.encoder(x).chunk(2, -1)
        (loc, scale), (w_loc, w_scale) = gaussian(raw_z), gaussian(raw_w)
        z = loc + scale * torch.randn_like(scale)
        w = w_loc + w_scale * torch.randn_like(w_scale)
        locs, raw_scales = self.prior(w).reshape(-1, 2, self.num_components, self.dim).unbind(1)
        scales = softplus(raw_scales) + 1e-4
        log_density = -(0.5 * ((z.unsqueeze(1) - locs) / scales).square() + scales.log()).sum(-1)
        log_weights = log_density.log_softmax(-1)
        weights = log_weights.exp()
        ratio = (scale.unsqueeze(1) / scales).square()
        distance = ((loc.unsqueeze(1) - locs) / scales).square()
        kl = 0.5 * (ratio + distance - 1 - ratio.log()).sum(-1)
        c_prior = (weights * (log_weights - log_weights.new_tensor(1 / self.num_components).log())).sum()
        reconstruction = binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        return (reconstruction + (weights * kl).sum() + kl_to_standard(w_loc, w_scale) + c_prior) / len(x)


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
    """The objective as ``fit`` minimises it: divided by the number of data."""

    def __init__(self, model: MixtureVAE) -> None:
        super().__init__()
        self.objective = model.objective()(model.model, model.guide)

    def forward(self, x: Tensor) -> Tensor:
        return self.objective(x) / len(x)


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
    svi = SVI(svi_model.model, svi_model.guide, pyro.optim.Adam({"lr": LR}), stock(max_plate_nesting=1))
    return {
        BASE: torch_step(plain, plain, None),
        FUSED: torch_step(fused, fused, True),
        HAND_COMPILED: torch_step(torch.compile(inductor), inductor, True),
        STOCK: lambda x: svi.step(x),
        OURS: without_validation(torch_step(PerDatum(eager), eager, True)),
        OURS_COMPILED: without_validation(torch_step(compiled(PerDatum(graph)), graph, True)),
    }


MODELS: dict[str, Callable[[], dict[str, Step]]] = {
    "GMVAE 784-500-500, K = 10": lambda: steps(
        HandGMVAE, lambda: GMVAE((DATA,), 10, 10, 10, encoder=hidden(500), decoder=hidden(500)), TraceEnum_ELBO
    ),
    "VAE 784-300-300": lambda: steps(
        HandVAE, lambda: VAE((DATA,), 20, encoder=hidden(300), decoder=hidden(300)), Trace_ELBO
    ),
}


def hidden(width: int) -> dict[str, object]:
    return {"kind": "mlp", "hidden_dims": [width, width]}


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--steps", type=int, default=20, help="in a round, for each variant")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="processor: for a machine that others use")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    measured, blocks = {}, []
    for name, make in MODELS.items():
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
    write_json("steps", measured)
    text = (
        f"Batches of {BATCH}; the variants take turns, {options.rounds} rounds of {options.steps} steps each; a ratio "
        "is the median over the rounds of the ratio of that round's medians, so that what else runs on the machine "
        f"slows both alike. Clock: {options.clock} time. Validation is on for stock Pyro, as it is by default, and off for ours, as in `fit`."
    )
    page = described("A training step", text) + "\n" + "\n\n".join(blocks) + "\n"
    (HERE / "steps.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
