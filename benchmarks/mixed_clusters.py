"""Which clusters of MNIST hold two digits, and what the most-confident rule makes of them, for trained models.

The runs are those of ``python -m benchmarks.reproduce gmvae``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.record import HERE, described, write_json
from pyro_mixvae.data import load
from pyro_mixvae.metrics import cluster_labels, clustering_accuracy, confusion_matrix
from pyro_mixvae.serialization import load as load_model

NAME = "mixed_clusters"
#: A cluster is mixed where its most frequent digit has less than this share.
MIXED = 0.9
#: Images whose draws are held at once.
BATCH = 500


def describe(counts: Tensor, labels: Tensor) -> list[dict[str, Any]]:
    """The mixed clusters and those whose label is not their most frequent digit, the least pure first.

    Args:
        counts: data by cluster and digit, [K, C].
        labels: the clusters' labels by the most-confident rule, [K].
    """
    clusters = []
    for k, row in enumerate(counts):
        size = int(row.sum())
        if size == 0:
            continue
        share, label = float(row.max()) / size, int(labels[k])
        mislabelled = bool(row[label] < row.max())
        if share < MIXED or mislabelled:
            digits = [int(digit) for digit in row.argsort(descending=True, stable=True)[:3] if row[digit]]
            lost = int(row.max() - row[label])
            clusters.append(
                {"cluster": k, "size": size, "share": share, "digits": digits, "label": label, "lost": lost}
            )
    return sorted(clusters, key=lambda cluster: cluster["share"])


def measure(folder: Path, x: Tensor, y: Tensor, num_samples: int) -> dict[str, Any]:
    model = load_model(folder / "model")
    torch.manual_seed(0)
    with torch.no_grad():
        at_means = model.log_responsibilities(x)
        averaged = torch.cat([model.log_responsibilities(batch, num_samples) for batch in x.split(BATCH)])
    counts = confusion_matrix(at_means, y)
    return {
        "accuracy": clustering_accuracy(at_means, y),
        "averaged over draws": clustering_accuracy(averaged, y),
        "purity": clustering_accuracy(at_means, y, rule="majority"),
        "clusters": describe(counts, cluster_labels(at_means, y)),
    }


def page(measured: dict[str, dict[str, Any]], num_samples: int) -> str:
    text = (
        "Test images. Most-confident accuracy with responsibilities at the posterior means (as in `reproduce/RESULTS.md`), the "
        f"same with responsibilities averaged over {num_samples} draws, and the purity, the share of images with their "
        "cluster's most frequent digit, which no labelling of these clusters can exceed. Below, the clusters where one digit has less "
        f"than {MIXED:.0%}, the least pure first, and those whose label is not their most frequent digit."
    )
    lines = ["| run | most-confident | averaged | purity |", "|---|---|---|---|"]
    lines += [
        f"| {run} | {scores['accuracy']:.2%} | {scores['averaged over draws']:.2%} | {scores['purity']:.2%} |"
        for run, scores in measured.items()
    ]
    lines += ["", "| run | images | most frequent digits | share of the first | label | images lost by the label |"]
    lines += ["|---|---|---|---|---|---|"]
    for run, scores in measured.items():
        for one in scores["clusters"]:
            digits = ", ".join(map(str, one["digits"]))
            lines.append(f"| {run} | {one['size']} | {digits} | {one['share']:.0%} | {one['label']} | {one['lost']} |")
    return described("Clusters of MNIST that hold two digits", text) + "\n" + "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="run folders")
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--num-samples", type=int, default=100)
    parser.add_argument("--name", default=NAME, help="of the page and the file of results")
    arguments = parser.parse_args()
    test = load("mnist", data_dir=arguments.data_dir, split="60000/0/10000").test
    assert test is not None and test.y is not None
    x = test.values()
    measured = {
        f"{folder.parent.name}, seed {folder.name}": measure(folder, x, test.y, arguments.num_samples)
        for folder in arguments.folders
    }
    write_json(arguments.name, measured)
    (HERE / f"{arguments.name}.md").write_text(page(measured, arguments.num_samples), encoding="utf-8")


if __name__ == "__main__":
    main()
