"""Table V of the MVAE paper, short: classifiers on each component's codes of MNIST, and on all of them together."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import pyro_mixvae
from benchmarks.record import FIGURES, HERE, described, write_json
from pyro_mixvae import figures
from pyro_mixvae.data import load
from pyro_mixvae.metrics import CLASSIFIERS, component_classification, reconstruction_error
from pyro_mixvae.models import MVAE
from pyro_mixvae.models.mvae_analysis import component_reconstructions, latent_codes, off_diagonal_mean, pairwise_dhsic
from pyro_mixvae.training import fit

NAME = "mvae_mnist"
#: Labelled training data of the classifiers.
LABELLED = 10_000
PAPER = {
    "mixture": (98.04, 95.62, 97.25),
    "component 0": (96.94, 93.65, 96.91),
    "component 1": (96.87, 93.81, 96.98),
    "component 2": (96.85, 93.83, 96.85),
    "component 3": (96.97, 93.67, 96.15),
}


def model_for_mnist() -> MVAE:
    """The recipe's model with K = 4 and narrower networks."""
    return MVAE(
        (1, 28, 28),
        latent_dim=10,
        num_components=4,
        encoder={"kind": "mlp", "hidden_dims": [300]},
        mixed_shape=(300,),
        decoder={"kind": "mlp", "hidden_dims": [300]},
        dropout="gumbel",
        dropout_rate=0.1,
    )


def batched(function: Any, x: Tensor) -> Tensor:
    return torch.cat([function(batch) for batch in x.split(1000)])


def trained(data: Any, folder: Path, epochs: int, seed: int) -> tuple[MVAE, dict[str, Any]]:
    """The model and its training's facts; read from the folder if it was trained before."""
    if (folder / "facts.json").exists():
        return pyro_mixvae.load(folder), json.loads((folder / "facts.json").read_text())
    torch.manual_seed(seed)
    model = model_for_mnist()
    start = time.process_time()
    run = folder / "training"
    resume = run if (run / "checkpoints" / "last.ckpt").exists() else None
    options = {"batch_size": 100, "seed": seed, "out": run, "resume": resume}
    result = fit(model, data, max_epochs=epochs, progress=False, limit_val_batches=0, **options)
    facts = {
        "cpu seconds of training since its last interruption": time.process_time() - start,
        "last epoch": result.history[-1],
    }
    pyro_mixvae.save(model, folder)
    (folder / "facts.json").write_text(json.dumps(facts))
    return model, facts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", default=str(HERE.parents[1] / "shared" / "data"))
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", default="runs/mvae_mnist", help="where an interrupted study goes on from")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = load("mnist", data_dir=arguments.data_dir)
    folder = Path(arguments.work) / f"epochs_{arguments.epochs}_seed_{arguments.seed}"
    model, measured = trained(data, folder, arguments.epochs, arguments.seed)
    start = time.process_time()
    train = batched(lambda x: latent_codes(model, x), data.train.values()[:LABELLED])
    x = data.test.values()
    test = batched(lambda x: latent_codes(model, x), x)
    scores = component_classification(train, data.train.y[:LABELLED], test, data.test.y)
    measured |= {
        "accuracy": scores,
        "reconstruction error": reconstruction_error(x, batched(model.reconstruct, x)),
        "pairwise dHSIC": off_diagonal_mean(pairwise_dhsic(model, x)),
        "selected K": model.masks.selected(),
        "dropout rate": model.masks.rates.item(),
        "cpu seconds of classification": time.process_time() - start,
    }
    write_json(NAME, measured)

    FIGURES.mkdir(exist_ok=True)
    shown = x[:12]
    pictures = {
        "views": figures.component_views(shown, component_reconstructions(model, shown), model.reconstruct(shown)),
        "dependence": figures.dependence_matrix(pairwise_dhsic(model, x)),
    }
    for name, figure in pictures.items():
        figure.savefig(FIGURES / f"{NAME}_{name}.png", dpi=110)
    names = {"mixture": "mixture", **{str(k): f"component {k}" for k in range(model.num_components)}}
    lines = [
        f"| {shown_as} | " + " | ".join(f"{scores[name][classifier]:.2f}" for classifier in CLASSIFIERS)
        + " | " + " | ".join(f"{value:.2f}" for value in PAPER[shown_as]) + " |"
        for name, shown_as in names.items()
    ]  # fmt: skip
    seconds, rate = measured["cpu seconds of training since its last interruption"], measured["dropout rate"]
    text = f"""`MVAE` with K = 4 components of 10 latent variables, Gumbel-softmax dropout at one rate and beta = 1,
{arguments.epochs} epochs on 50,000 images, seed {arguments.seed} ({seconds:.0f} CPU seconds since its last interruption). Classifiers of scikit-learn
on the posterior means of the first {LABELLED:,} training images, scored on the 10,000 test images, percent correct. The
paper's networks are larger and trained for 100 epochs, and its classifiers see all 60,000 labels. Reconstruction error
(squared error summed over the pixels in [0, 1]) {measured["reconstruction error"]:.2f}; the paper's best is 7.30.
Selected K, the expected number of masks >= 0.1, is {measured["selected K"]:.2f} of 4 at a rate of {rate:.3f}."""
    head = "| codes | " + " | ".join([*CLASSIFIERS, *(f"paper: {name}" for name in CLASSIFIERS)]) + " |"
    page = f"""{described("MVAE on MNIST: what the codes know (table V)", text)}
{head}
{"|---" * 7}|
{chr(10).join(lines)}

![what each component sees](figures/{NAME}_views.png)

![dHSIC of every pair](figures/{NAME}_dependence.png)
"""
    (FIGURES.parent / f"{NAME}.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
