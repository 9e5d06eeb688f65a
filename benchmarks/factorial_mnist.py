"""Binarised MNIST, one factor: the bound of new data and its parts against the number of components (figure 3).

python -m benchmarks.factorial_mnist [--data-dir DIR] [--components 1 4 16 64]

Each number of components is a run whose result is kept; those that are there already are not run again.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import torch

from benchmarks.record import FIGURES, HERE, RESULTS, described, machine, versions, write_json
from pyro_mixvae import figures
from pyro_mixvae.data import DataSet, load
from pyro_mixvae.models import FactorialMixtureVAE
from pyro_mixvae.training import fit, start_mixture

NETWORK = {"kind": "mlp", "hidden_dims": [200, 200]}
SETTINGS: dict[str, Any] = {
    "latent_dim": 16,
    "delay": 100.0,
    "pretraining_epochs": 2,
    "pretraining_kl": 0.1,
    "seeding_epochs": 1,
    "max_epochs": 8,
    "batch_size": 250,
    "lr": 2e-3,
    "schedule": "cosine",
    "seed": 0,
}


def run(num_components: int, data: DataSet) -> dict[str, Any]:
    """Train one model; the mean of its bound and parts on the test data, in nats."""
    settings = dict(SETTINGS)
    latent_dim, delay, seed = settings.pop("latent_dim"), settings.pop("delay"), settings["seed"]
    phases = {name: settings.pop(name) for name in ("pretraining_epochs", "pretraining_kl", "seeding_epochs")}
    torch.manual_seed(seed)
    model = FactorialMixtureVAE(
        data.event_shape, len(data.train), latent_dim, num_components, encoder=NETWORK, decoder=NETWORK, delay=delay
    )
    common = {name: settings[name] for name in ("batch_size", "lr", "seed")}
    start_mixture(model, data, progress=False, **phases, **common)
    result = fit(model, data, progress=False, accelerator="cpu", **settings)
    torch.manual_seed(seed)
    assert data.test is not None
    parts = [model.predictive_bound(x) for x in data.test.values().split(500)]
    means = {name: torch.cat([part[name] for part in parts]).mean().item() for name in parts[0]}
    pruned = len(model.pruned()[0])
    return {**means, "pruned": pruned, "seconds": result.seconds, "history": result.history}


def kept(num_components: int, data: DataSet) -> dict[str, Any]:
    """The result of an earlier run with the same settings, or of a new one."""
    path = RESULTS / f"factorial_mnist_{num_components}.json"
    if path.exists():
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["settings"] == SETTINGS:
            return record["measured"]
    measured = run(num_components, data)
    record = {"settings": SETTINGS, "machine": machine(), "versions": versions(), "measured": measured}
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir")
    parser.add_argument("--components", type=int, nargs="+", default=[1, 4, 16, 64])
    arguments = parser.parse_args()
    data = load("mnist", arguments.data_dir, binarize="dynamic", split="60000/0/10000")
    measured = {k: kept(k, data) for k in arguments.components}
    shown = ("bound", "reconstruction", "kl_z", "kl_r", "pruned", "seconds")
    table = {k: {name: result[name] for name in shown} for k, result in measured.items()}
    write_json("factorial_mnist", {"settings": SETTINGS, "by number of components": table})
    series = {name: [row[name] for row in table.values()] for name in shown[:4]}
    FIGURES.mkdir(exist_ok=True)
    figures.bound_by_components(list(table), series).savefig(FIGURES / "factorial_mnist.png", dpi=110)
    rows = [
        f"| {k} | {row['bound']:.2f} | {row['reconstruction']:.2f} | {row['kl_z']:.2f} | {row['kl_r']:.2f} | "
        f"{row['pruned']:.0f} | {row['seconds']:.0f} |"
        for k, row in table.items()
    ]
    text = f"""Test data of dynamically binarised MNIST (the test part drawn once), one factor of D = {SETTINGS["latent_dim"]}, networks
784-200-200, batches of {SETTINGS["batch_size"]}: {SETTINGS["pretraining_epochs"]} epochs with N(0, I) (the KL times {SETTINGS["pretraining_kl"]}), \
{SETTINGS["seeding_epochs"]} of natural gradients alone,
{SETTINGS["max_epochs"]} of both; tau_0 = {SETTINGS["delay"]:g}, one seed. A smaller weight of the KL in the pretraining leaves
clusters of codes further apart. The paper's -85.77 (K = 512) is
of convolutional networks trained for 200,000 steps of 64. Settings of a run are in `results/factorial_mnist_K.json`."""
    page = f"""{described("KL[z] against KL[r] on binarised MNIST (factorial paper, figure 3)", text)}
| K | bound, nats | reconstruction | KL[z] | KL[r] | pruned components | seconds |
|---|---|---|---|---|---|---|
{chr(10).join(rows)}

![figure 3](figures/factorial_mnist.png)
"""
    (HERE / "factorial_mnist.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
