"""Table V of the MVAE paper, short: classifiers on each component's codes of MNIST, and on all of them together.

Beside it how much the components' codes depend on each other at several weights of dHSIC (figure 12).
"""

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
from pyro_mixvae.divergences import dhsic
from pyro_mixvae.metrics import CLASSIFIERS, active_units, component_classification, reconstruction_error
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


#: Weights of dHSIC: the paper's, that of its independence study, and one at which the term is of the loss's size.
BETAS = (1.0, 10.0, 1000.0)
#: Data in a batch of training, and more.
SIZES = (100, 1000)


def model_for_mnist(beta: float) -> MVAE:
    """The recipe's model with K = 4 and narrower networks, of ReLUs: with GELUs one component learns all (this early)."""
    return MVAE(
        (1, 28, 28),
        latent_dim=10,
        num_components=4,
        encoder={"kind": "mlp", "hidden_dims": [300]},
        mixed_shape=(300,),
        decoder={"kind": "mlp", "hidden_dims": [300]},
        dropout="gumbel",
        dropout_rate=0.1,
        beta=beta,
    )


def batched(function: Any, x: Tensor) -> Tensor:
    return torch.cat([function(batch) for batch in x.split(1000)])


@torch.no_grad()
def dependence_of_draws(model: MVAE, x: Tensor, size: int) -> tuple[float, float]:
    """dHSIC of all components' codes as the loss sees them, draws; and of the same draws shuffled, which are independent.

    Both are means over ten batches of the given size.
    """
    own, shuffled = [], []
    for batch in x.split(size)[:10]:
        codes = model.encode(batch)["z"].sample().unbind(1)
        own.append(dhsic(codes))
        shuffled.append(dhsic([code[torch.randperm(len(code))] for code in codes]))
    return torch.stack(own).mean().item(), torch.stack(shuffled).mean().item()


def trained(data: Any, folder: Path, beta: float, epochs: int, seed: int) -> tuple[MVAE, dict[str, Any]]:
    """The model and its training's facts; read from the folder if it was trained before."""
    if (folder / "facts.json").exists():
        return pyro_mixvae.load(folder), json.loads((folder / "facts.json").read_text())
    torch.manual_seed(seed)
    model = model_for_mnist(beta)
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
    epochs, seed = arguments.epochs, arguments.seed
    folders = {beta: Path(arguments.work) / f"epochs_{epochs}_seed_{seed}_beta_{beta:g}" for beta in BETAS}
    models = {beta: trained(data, folder, beta, epochs, seed) for beta, folder in folders.items()}
    model, measured = models[BETAS[0]]
    start = time.process_time()
    train = batched(lambda x: latent_codes(model, x), data.train.values()[:LABELLED])
    x = data.test.values()
    test = batched(lambda x: latent_codes(model, x), x)
    scores = component_classification(train, data.train.y[:LABELLED], test, data.test.y)
    active = {str(k): active_units(test[:, k]) for k in range(model.num_components)}
    active["mixture"] = sum(active.values())
    dependence = {f"beta = {beta:g}": pairwise_dhsic(each, x) for beta, (each, _) in models.items()}
    torch.manual_seed(arguments.seed)
    draws = {
        f"beta = {beta:g}": {str(size): dependence_of_draws(each, x, size) for size in SIZES}
        for beta, (each, _) in models.items()
    }
    measured |= {
        "accuracy": scores,
        "active units": active,
        "dHSIC of draws and of draws shuffled": draws,
        "reconstruction error": reconstruction_error(x, batched(model.reconstruct, x)),
        "mean pairwise dHSIC": {beta: off_diagonal_mean(matrix) for beta, matrix in dependence.items()},
        "pairwise dHSIC": {beta: matrix.tolist() for beta, matrix in dependence.items()},
        "selected K": model.masks.selected(),
        "dropout rate": model.masks.rates.item(),
        "cpu seconds of classification": time.process_time() - start,
    }
    write_json(NAME, measured)

    FIGURES.mkdir(exist_ok=True)
    shown = x[:12]
    pictures = {
        "views": figures.component_views(shown, component_reconstructions(model, shown), model.reconstruct(shown)),
        "dependence": figures.dependence_matrix(dependence),
    }
    for name, figure in pictures.items():
        figure.savefig(FIGURES / f"{NAME}_{name}.png", dpi=110)
    names = {"mixture": "mixture", **{str(k): f"component {k}" for k in range(model.num_components)}}
    lines = [
        f"| {shown_as} | {active[name]} | " + " | ".join(f"{scores[name][classifier]:.2f}" for classifier in CLASSIFIERS)
        + " | " + " | ".join(f"{value:.2f}" for value in PAPER[shown_as]) + " |"
        for name, shown_as in names.items()
    ]  # fmt: skip
    weighed = [
        f"| {beta} | {measured['mean pairwise dHSIC'][beta]:.4f} | "
        + " | ".join(f"{value:.5f}" for size in draws[beta].values() for value in size)
        + " |"
        for beta in dependence
    ]
    loss, term = (measured["last epoch"][f"train/{name}"] for name in ("loss", "dhsic"))
    seconds, rate = measured["cpu seconds of training since its last interruption"], measured["dropout rate"]
    text = f"""`MVAE` with K = 4 components of 10 latent variables, Gumbel-softmax dropout at one rate and beta = 1,
{arguments.epochs} epochs on 50,000 images, seed {arguments.seed} ({seconds:.0f} CPU seconds since its last interruption). Classifiers of scikit-learn
on the posterior means of the first {LABELLED:,} training images, scored on the 10,000 test images, percent correct. The
paper trains for 100 epochs, and its classifiers see all 60,000 labels; the networks here have 300 ReLUs in a layer. Reconstruction error
(squared error summed over the pixels in [0, 1]) {measured["reconstruction error"]:.2f}; the paper's best is 7.30.
Selected K, the expected number of masks >= 0.1, is {measured["selected K"]:.2f} of 4 at a rate of {rate:.3f}."""
    head = "| codes | active units | " + " | ".join([*CLASSIFIERS, *(f"paper: {name}" for name in CLASSIFIERS)]) + " |"
    page = f"""{described("MVAE on MNIST: what the codes know (table V)", text)}
{head}
{"|---" * 8}|
{chr(10).join(lines)}

Do the codes depend on each other? Everything as above, at three weights of dHSIC: the mean over pairs of components, of
the posterior means of the first 1,000 test images; and of all four components' codes as the loss sees them, draws, the mean
over ten batches. Draws that are shuffled, each component's by itself, are independent.

| | pairs | draws, batches of 100 | shuffled | draws, batches of 1,000 | shuffled |
|---|---|---|---|---|---|
{chr(10).join(weighed)}

dHSIC of independent codes is not 0; it falls as 1 / n. In a batch of {SIZES[0]} it is nearly all that the loss sees: at beta = 1 the
term is {term:.3f} of {loss:.1f} nats in the last epoch.

![what each component sees](figures/{NAME}_views.png)

![dHSIC of every pair, at each weight](figures/{NAME}_dependence.png)
"""
    (FIGURES.parent / f"{NAME}.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
