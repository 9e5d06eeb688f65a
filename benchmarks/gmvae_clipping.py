"""How GMVAE loses its clusters with many components, and that it keeps them with clipped gradients.

The first epochs of the recipe ``gmvae-mnist-mlp`` on 50,000 images of MNIST, with the number of components and the largest
gradient norm changed; judged on 10,000 validation images. The test images are not looked at.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.pytorch import Callback
from torch import Tensor
from torch.nn.utils import get_total_norm

from benchmarks.record import HERE, described, write_json
from pyro_mixvae.metrics import clustering_accuracy, used_clusters
from pyro_mixvae.models import GMVAE
from pyro_mixvae.training import fit
from pyro_mixvae.training.options import apply_options
from pyro_mixvae.training.recipe import read_recipe
from pyro_mixvae.training.run import build_model, fit_options, open_data

NAME = "gmvae_clipping"
TRIALS = ((30, None), (100, None), (100, 30.0))
#: Draws of w from its prior, over which the components' scales are looked at.
STYLES = 200


@dataclass(eq=False)
class Watch(Callback):
    """Gradient norms before clipping, and the state of the clusters after each epoch."""

    model: GMVAE
    x: Tensor
    y: Tensor
    norms: list[float] = field(default_factory=list)
    epochs: list[dict[str, float]] = field(default_factory=list)

    def on_after_backward(self, trainer: Any, module: Any) -> None:
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        self.norms.append(get_total_norm(gradients).item())

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(0)
            log_responsibilities = self.model.log_responsibilities(self.x)
            terms = self.model.terms(self.x)
            components = self.model.components(torch.randn(STYLES, self.model.style_dim))
        self.epochs.append(
            {
                "median norm": statistics.median(self.norms),
                "largest norm": max(self.norms),
                "smallest scale": components.scales.min().item(),
                "KL of w": terms["w_prior"].mean().item(),
                "used clusters": used_clusters(log_responsibilities),
                "accuracy": clustering_accuracy(log_responsibilities, self.y),
            }
        )
        self.norms.clear()


def measure(num_components: int, clip: float | None, epochs: int, data_dir: str) -> list[dict[str, float]]:
    """What was watched in each epoch; the learning rate stays where the recipe's schedule begins."""
    once = ["--objective.warmup.epochs=10", "--objective.warmup.end=1"]  # the paper's objective
    changes = [f"--model.num_components={num_components}", "--data.split=50000/10000/0", *once]
    recipe, _ = apply_options(read_recipe("gmvae-mnist-mlp"), changes)
    data = open_data(recipe, data_dir)
    assert data.validation is not None
    assert data.validation.y is not None
    model = build_model(recipe, data, seed=1)
    assert isinstance(model, GMVAE)
    watch = Watch(model, data.validation.values(), data.validation.y)
    options = {**fit_options(recipe), "max_epochs": epochs, "schedule": None, "clip": clip, "accelerator": "cpu"}
    fit(model, data, compile=True, seed=1, progress=False, callbacks=[watch], **options)
    return watch.epochs


def table(measured: list[dict[str, Any]]) -> str:
    columns = list(measured[0]["epochs"][0])
    lines = [f"| K | clip | epoch | {' | '.join(columns)} |", "|---" * (3 + len(columns)) + "|"]
    for trial in measured:
        for epoch, values in enumerate(trial["epochs"], 1):
            numbers = " | ".join(f"{values[name]:.4g}" for name in columns)
            lines.append(f"| {trial['components']} | {trial['clip'] or '–'} | {epoch} | {numbers} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--epochs", type=int, default=4)
    chosen = parser.parse_args()
    measured = []
    for num_components, clip in TRIALS:
        epochs = measure(num_components, clip, chosen.epochs, chosen.data_dir)
        measured.append({"components": num_components, "clip": clip, "epochs": epochs})
        print(measured[-1], flush=True)
    write_json(NAME, measured)
    text = (
        "The first epochs of `gmvae-mnist-mlp`, with the weight of its conditional prior warmed up to 1 over 10 epochs, on "
        "50,000 images (seed 1; all within that warm-up, at the learning rate that its schedule begins with), with K components and gradients clipped at a norm (–: not). Norms are "
        "of the gradients before clipping, by epoch; the smallest scale is that of any component in any dimension, over "
        f"{STYLES} styles from the prior; the KL of w (nats), the clusters in use and the most-confident accuracy are of 10,000 validation images."
    )
    (HERE / f"{NAME}.md").write_text(
        f"{described('Clipping the gradients of GMVAE', text)}\n{table(measured)}\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
