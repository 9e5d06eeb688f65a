"""What unlabelled data are worth: 250 labels of MNIST with the other 44,750 images, and without them.

Run ``python -m benchmarks.ss_csrae_mnist --data-dir FOLDER``. For each draw of the labels a semi-supervised
Mixture-CSRAE is trained in two phases, and a classifier of its networks h_x and q(y | x) on the labelled data alone.
Each draw is recorded when it is done, and a second run goes on where the first one stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from typing import Any

import torch

from benchmarks.record import HERE, RESULTS, described, write_json
from pyro_mixvae.data import DataSet, Split, load
from pyro_mixvae.metrics import classification_error
from pyro_mixvae.models import Classifier, SemiSupervisedCSRAE
from pyro_mixvae.training import LinearWarmup, fit
from pyro_mixvae.training.labels import predicted

NAME = "ss_csrae_mnist"
LABELS, LR = 250, 1e-3
START = {"init": "glorot"}
#: Table VI's networks, those of the classifier first.
SHARED: dict[str, Any] = {
    "encoder": {"kind": "mlp", "hidden_dims": [300], **START},
    "feature_dim": 300,
    "classifier": {"kind": "mlp", "hidden_dims": [300], **START},
}
OTHERS: dict[str, Any] = {
    "label_encoder": {"kind": "mlp", "hidden_dims": [256], **START},
    "label_dim": 256,
    "posterior": {"kind": "mlp", "hidden_dims": [300], **START},
    "decoder": {"kind": "mlp", "hidden_dims": [300, 300], **START},
}
PRIOR: dict[str, Any] = {"prior": "gaussian-mixture", "num_components": 20, "latent_dim": 20}
CLASSIFIER_EPOCHS, FIRST_EPOCHS, WARMUP_EPOCHS, SECOND_EPOCHS = 100, 5, 2, 4
UNLABELLED, LABELLED = 100, 20
METHODS = ("classifier", "semi-supervised")


def errors(model: Any, data: DataSet) -> dict[str, float]:
    """Percent wrong on validation and test data."""
    assert data.validation is not None and data.test is not None
    parts = {"validation": data.validation, "test": data.test}
    return {name: classification_error(predicted(model, part.values()), part.y) for name, part in parts.items()}


def on_labels_alone(data: DataSet, seed: int) -> dict[str, Any]:
    """The classifier, at the epoch that validation data like best."""
    known = data.train.y >= 0
    few = dataclasses.replace(data, train=Split(data.train.x[known], data.train.y[known]))
    torch.manual_seed(seed)
    model = Classifier(data.event_shape, num_classes=10, **SHARED)
    result = fit(
        model,
        few,
        max_epochs=CLASSIFIER_EPOCHS,
        patience=CLASSIFIER_EPOCHS,
        batch_size=LABELLED,
        lr=LR,
        seed=seed,
        progress=False,
    )
    return {"seconds": result.seconds, "error": errors(model, data)}


def with_the_others(data: DataSet, seed: int) -> dict[str, Any]:
    """The semi-supervised model, at the epoch that validation data like best."""
    torch.manual_seed(seed)
    model = SemiSupervisedCSRAE(data.event_shape, num_classes=10, **PRIOR, **SHARED, **OTHERS)
    how: dict[str, Any] = {"lr": LR, "seed": seed, "progress": False}
    warmup = LinearWarmup(epochs=WARMUP_EPOCHS)
    first = fit(model.pretraining(), data, max_epochs=FIRST_EPOCHS, batch_size=UNLABELLED, warmup=warmup, **how)
    batches = {"batch_size": UNLABELLED + LABELLED, "labelled_per_batch": LABELLED, "balanced": True}
    second = fit(model, data, max_epochs=SECOND_EPOCHS, patience=SECOND_EPOCHS, **batches, **how)
    history = [{name: value for name, value in row.items() if "validation" in name} for row in second.history]
    return {"seconds": first.seconds + second.seconds, "error": errors(model, data), "history": history}


def page(measured: dict[str, Any]) -> str:
    """The table."""
    text = (
        f"Dynamically binarised MNIST (45,000 / 5,000 / 10,000), {LABELS} labels drawn at random. The classifier is "
        "x -> 300 -> 300 -> 300 -> 10, trained on the labelled data alone; the semi-supervised model has it for its "
        f"q(y | x) (table VI), with K = {PRIOR['num_components']} components in {PRIOR['latent_dim']} dimensions, "
        f"lambda = beta = 1, alpha = 100: {FIRST_EPOCHS} epochs without labels (linear warm-up over the first "
        f"{WARMUP_EPOCHS}), then {SECOND_EPOCHS} with {LABELLED} labelled data beside {UNLABELLED} others in each batch. "
        f"Adam at {LR:g}. Of every training the epoch with the smallest validation loss is taken. Percent wrong on "
        "test data; seconds are wall time on a machine that was busy with other work. The paper trains for 400 epochs."
    )
    rows = list(measured.values())
    gains = [row["classifier"]["error"]["test"] - row["semi-supervised"]["error"]["test"] for row in rows]
    columns = [[row[method]["error"]["test"] for row in rows] for method in METHODS] + [gains]
    head = ["draw of the labels", "classifier, labels alone (%)", "semi-supervised (%)", "gain (points)"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for draw, values in zip(measured, zip(*columns, strict=True), strict=True):
        lines.append(f"| {draw} | " + " | ".join(f"{value:.2f}" for value in values) + " |")
    if len(rows) > 1:
        for name, function in (("mean", statistics.mean), ("standard deviation", statistics.stdev)):
            lines.append(f"| {name} | " + " | ".join(f"{function(values):.2f}" for values in columns) + " |")
    times = [f"{sum(row[method]['seconds'] for row in rows) / len(rows):.0f} s" for method in METHODS]
    lines.append(f"\nA training took {times[0]} and {times[1]} on average.")
    return described("250 labels of MNIST", text) + "\n" + "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="folder that holds MNIST/raw; $PYRO_MIXVAE_DATA if left out")
    parser.add_argument("--draws", type=int, default=3)
    chosen = parser.parse_args()
    path = RESULTS / f"{NAME}.json"
    measured = json.loads(path.read_text(encoding="utf-8"))["measured"] if path.exists() else {}
    for draw in range(chosen.draws):
        if str(draw) in measured:
            continue
        options: dict[str, Any] = {"split": "45000/5000/10000", "binarize": "dynamic", "labelled": LABELS}
        data = load("mnist", data_dir=chosen.data_dir, seed=draw, **options)
        start = time.perf_counter()
        measured[str(draw)] = {"classifier": on_labels_alone(data, draw)}
        print(draw, json.dumps(measured[str(draw)]), flush=True)
        measured[str(draw)]["semi-supervised"] = with_the_others(data, draw)
        write_json(NAME, measured)
        (HERE / f"{NAME}.md").write_text(page(measured), encoding="utf-8")
        print(draw, json.dumps(measured[str(draw)]), f"{time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
