"""The MVAE with three activations: units that have died, loss and reconstruction of validation images.

python -m benchmarks.mvae_activations --data-dir DIR [--epochs 8]

Eight epochs on 50,000 images take some three minutes for each on one core.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch

from benchmarks.record import HERE, described, write_json
from pyro_mixvae.metrics import dead_units, reconstruction_error
from pyro_mixvae.training import fit
from pyro_mixvae.training.options import apply_options
from pyro_mixvae.training.recipe import read_recipe
from pyro_mixvae.training.run import build_model, fit_options, open_data

#: Activation of every layer, learning rate.
TRIALS = (("relu", 0.001), ("relu", 0.0003), ("elu", 0.001), ("gelu", 0.001))
LAYERS = {"encoder.layers.1": "encoder, first", "encoder.layers.3": "encoder, second", "decoder.layers.1": "decoder"}


def trial(activation: str, lr: float, epochs: int, data_dir: str | None) -> dict[str, Any]:
    """Train so, and measure on the 10,000 validation images."""
    options = [
        f"--model.encoder={{kind: mlp, hidden_dims: [500, 500], activation: {activation}}}",
        f"--model.sub_activation={activation}",
        f"--model.decoder={{kind: mlp, hidden_dims: [500], activation: {activation}}}",
        f"--optimizer.lr={lr}",
        "--data.split=50000/10000/10000",
        "--trainer.precision=bf16-mixed",
        f"--trainer.max_epochs={epochs}",
    ]
    recipe, _ = apply_options(read_recipe("mvae-mnist-gs"), options)
    data = open_data(recipe, data_dir)
    model = build_model(recipe, data, seed=0)
    start = time.process_time()
    last = fit(model, data, seed=0, compile=True, progress=False, **fit_options(recipe)).history[-1]
    assert data.validation is not None
    x = data.validation.values()
    reconstructed = torch.cat([model.reconstruct(batch) for batch in x.split(500)])
    return {
        "activation": activation,
        "lr": lr,
        "validation loss": last["validation/loss"],
        "reconstruction error": reconstruction_error(x, reconstructed),
        "dead units": dead_units(model, model.reconstruct, x),
        "seconds": time.process_time() - start,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--epochs", type=int, default=8)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    trials = [trial(activation, lr, arguments.epochs, arguments.data_dir) for activation, lr in TRIALS]
    write_json("mvae_activations", {"epochs": arguments.epochs, "trials": trials})
    (HERE / "mvae_activations.md").write_text(page(trials, arguments.epochs), encoding="utf-8")


def page(trials: list[dict[str, Any]], epochs: int) -> str:
    text = (
        f"`mvae-mnist-gs` (K = 6, codes of 10, 500 units in every hidden layer) after {epochs} epochs on 50,000 images, networks in "
        "bfloat16, one seed: loss (nats) and reconstruction error (squared error summed over the pixels) of 10,000 validation "
        "images, and the share of each ReLU layer's units that none of these images makes fire. The recipes of MVAE on MNIST took "
        "GELUs for this; the paper names no activation."
    )
    head = f"| activation | learning rate | loss | reconstruction error | {' | '.join(f'dead: {n}' for n in LAYERS.values())} | CPU seconds |"
    rows = [head, "|---|---|---|---|" + "---|" * (len(LAYERS) + 1)]
    for row in trials:
        dead = [f"{100 * row['dead units'][name]:.0f} %" if name in row["dead units"] else "–" for name in LAYERS]
        numbers = [
            f"{row['validation loss']:.2f}",
            f"{row['reconstruction error']:.2f}",
            *dead,
            f"{row['seconds']:.0f}",
        ]
        rows.append(f"| {row['activation']} | {row['lr']:g} | " + " | ".join(numbers) + " |")
    return described("The MVAE's activation", text) + "\n" + "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
