"""The two toys of the Cauchy-Schwarz paper: two Gaussians fitted by KL and by CS, and lambda on the pinwheel.

Run ``python -m benchmarks.csrae_toys`` (a few minutes on one core). It writes ``figures/csrae_two_gaussians.png`` (the
paper's figure 1), ``figures/csrae_pinwheel.png`` (figure 2), ``csrae_toys.md`` and ``results/csrae_toys.json``.
"""

from __future__ import annotations

import math
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from benchmarks.record import FIGURES, HERE, described, write_json
from pyro_mixvae import figures
from pyro_mixvae.data import load
from pyro_mixvae.distributions import GaussianMixture
from pyro_mixvae.divergences import cauchy_schwarz
from pyro_mixvae.metrics import clustering_accuracy
from pyro_mixvae.nn import positive_scale
from pyro_mixvae.training import fit
from pyro_mixvae.training.recipe import read_recipe
from pyro_mixvae.training.run import build_model, fit_options

LAMBDAS = (0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
STEPS, RATE = 10_000, 1e-3


def target() -> GaussianMixture:
    """1/2 N(-3, 1) + 1/2 N(3, 1)."""
    return GaussianMixture(torch.zeros(2), torch.tensor([[-3.0], [3.0]]), torch.ones(2, 1))


class Fitted(nn.Module):
    """A mixture of Gaussians on the line with parameters to fit."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.locs = nn.Parameter(start.clone())
        self.raw_scales = nn.Parameter(torch.zeros_like(start))
        self.logits = nn.Parameter(torch.zeros(len(start)))

    def forward(self) -> GaussianMixture:
        return GaussianMixture(self.logits, self.locs, positive_scale(self.raw_scales))


def fit_gaussian(x: Tensor) -> dist.Normal:
    """One Gaussian by gradient descent on KL(data || fit), up to the data's entropy."""
    loc, raw_scale = nn.Parameter(torch.tensor(0.5)), nn.Parameter(torch.tensor(0.0))
    optimizer = torch.optim.Adam([loc, raw_scale], lr=RATE)
    for _ in range(STEPS):
        optimizer.zero_grad()
        (-dist.Normal(loc, positive_scale(raw_scale)).log_prob(x).mean()).backward()
        optimizer.step()
    return dist.Normal(loc.detach(), positive_scale(raw_scale).detach())


def fit_mixture() -> tuple[GaussianMixture, float]:
    """A mixture of two by gradient descent on the closed form of D_CS, from two means on one side."""
    model = Fitted(torch.tensor([[0.5], [1.0]]))
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    for _ in range(STEPS):
        optimizer.zero_grad()
        cauchy_schwarz(model(), target()).backward()
        optimizer.step()
    with torch.no_grad():
        return model(), cauchy_schwarz(model(), target()).item()


def two_gaussians() -> dict[str, Any]:
    """Figure 1."""
    x = load("two-gaussians").train.x
    gaussian, (mixture, divergence) = fit_gaussian(x), fit_mixture()
    grid = torch.linspace(-9, 9, 600)
    places = grid.unsqueeze(-1)
    with torch.no_grad():
        fits = {
            "one Gaussian, by KL": gaussian.log_prob(grid).exp(),
            "two Gaussians, by Cauchy-Schwarz": mixture.log_prob(places).exp(),
        }
        figure = figures.density_fits(grid, target().log_prob(places).exp(), fits, x)
    figure.savefig(FIGURES / "csrae_two_gaussians.png")
    order = mixture.locs.squeeze(-1).argsort()
    return {
        "kl": {"mean": gaussian.loc.item(), "scale": gaussian.scale.item()},
        "cauchy-schwarz": {
            "means": mixture.locs.squeeze(-1)[order].tolist(),
            "scales": mixture.scales.squeeze(-1)[order].tolist(),
            "weights": mixture.logits.exp()[order].tolist(),
            "divergence": divergence,
        },
    }


def pinwheel(seed: int = 0) -> dict[str, dict[str, float]]:
    """Figure 2: the recipe csrae-pinwheel at each lambda."""
    recipe = read_recipe("csrae-pinwheel")
    data = load("pinwheel")
    assert data.test is not None
    x = data.test.values()
    measured, guesses, codes = {}, {}, {}
    for scale in LAMBDAS:
        recipe.sections["objective"]["scale"] = scale
        model: Any = build_model(recipe, data, seed)
        fit(model, data, seed=seed, progress=False, **fit_options(recipe))
        torch.manual_seed(seed)
        terms = {name: term.mean().item() for name, term in model.terms(x).items()}
        arms = clustering_accuracy(model.responsibilities(x), data.test.y, rule="hungarian")
        measured[f"{scale:g}"] = {
            "reconstruction": terms["reconstruction"],
            "divergence": terms["divergence"] / scale,
            "accuracy": arms,
        }
        name = f"$\\lambda$ = {scale:g}"
        with torch.no_grad():
            guesses[name], codes[name] = model.reconstruct(x), model.encode(x).sample()
    figure = figures.weight_panels(guesses, codes, data.test.y, x, model.prior.locs)
    figure.savefig(FIGURES / "csrae_pinwheel.png")
    return measured


def page(measured: dict[str, Any]) -> str:
    """What came out."""
    one, two = measured["two-gaussians"]["kl"], measured["two-gaussians"]["cauchy-schwarz"]
    means, scales = (" and ".join(f"{value:.3f}" for value in two[name]) for name in ("means", "scales"))
    lines = [
        "## Two Gaussians (figure 1)\n",
        f"{STEPS:,} steps of Adam at {RATE:g}. KL, one Gaussian: mean {one['mean']:.3f}, scale {one['scale']:.3f} (the "
        f"moments of 1/2 N(-3, 1) + 1/2 N(3, 1) are 0 and {math.sqrt(10):.3f}), fitted to 2,000 draws. Cauchy-Schwarz, "
        "a mixture of two started at 0.5 and 1, fitted to the target's density in closed form: means "
        f"{means}, scales {scales}, D_CS = {two['divergence']:.2e}.\n",
        "![](figures/csrae_two_gaussians.png)\n",
        "## Pinwheel (figure 2)\n",
        "Held-out data, one seed; nats per datum; crosses are the prior's four means. The posterior that "
        f"equals one of four components has D_CS = log 2 = {math.log(2):.3f}.\n",
        "| lambda | -E log p(x given z) | D_CS | arms told apart by component |",
        "|---|---|---|---|",
        *(
            f"| {k} | {v['reconstruction']:.3f} | {v['divergence']:.3f} | {v['accuracy']:.3f} |"
            for k, v in measured["pinwheel"].items()
        ),
        "\n![](figures/csrae_pinwheel.png)",
    ]
    return described("The toys of the Cauchy-Schwarz paper", "Its figures 1 and 2.") + "\n" + "\n".join(lines) + "\n"


def main() -> None:
    FIGURES.mkdir(exist_ok=True)
    torch.manual_seed(0)
    measured = {"two-gaussians": two_gaussians(), "pinwheel": pinwheel()}
    write_json("csrae_toys", measured)
    (HERE / "csrae_toys.md").write_text(page(measured), encoding="utf-8")


if __name__ == "__main__":
    main()
