"""Which classifiers table V of the MVAE paper can have had.

python -m benchmarks.code_classifiers --data-dir DIR [--epochs 5]

The table's two trainings, shortened, and classifiers of the codes of all their training images: the linear support vector
machine for each class against the rest, for each pair of classes, and LIBSVM's, which is for pairs as well; and what is
gained or lost where codes are first brought to variance 1, those that a model does not use among them. Scored on validation
images.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.multiclass import OneVsOneClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from benchmarks.record import HERE, described, write_json
from benchmarks.reproduce.scores import codes_of
from benchmarks.reproduce.table import place_of
from benchmarks.reproduce.tables import MVAE_CODES
from pyro_mixvae.metrics import CLASSIFIERS as MEASURED
from pyro_mixvae.training import fit
from pyro_mixvae.training.options import apply_options
from pyro_mixvae.training.recipe import read_recipe
from pyro_mixvae.training.run import build_model, fit_options, open_data

#: Title, what makes the classifier, and whether codes are brought to variance 1.
CLASSIFIERS: tuple[tuple[str, Callable[[], Any], bool], ...] = (
    ("linear SVM, each class against the rest", lambda: LinearSVC(dual=False), True),
    ("linear SVM, each pair of classes", lambda: OneVsOneClassifier(LinearSVC(dual=False)), True),
    ("the same, codes as they are", lambda: OneVsOneClassifier(LinearSVC(dual=False)), False),
    ("linear SVM, LIBSVM's", lambda: SVC(kernel="linear"), True),
    ("kNN", lambda: KNeighborsClassifier(5), True),
    ("the same, codes as they are", lambda: KNeighborsClassifier(5), False),
    ("MLP", lambda: MLPClassifier((200,), max_iter=50, random_state=0), True),
    ("the same, codes as they are", lambda: MLPClassifier((200,), max_iter=50, random_state=0), False),
)


def measure(name: str, epochs: int, data_dir: str | None) -> list[dict[str, Any]]:
    """Percent correct and seconds of each classifier, after some epochs of a row's training in single precision."""
    row = MVAE_CODES.row(name)
    shortened = [
        "--data.split=50000/10000/10000",
        f"--trainer.max_epochs={epochs}",
        "--trainer.precision=32-true",
    ]
    recipe, _ = apply_options(read_recipe(place_of(row.recipe)), [*row.arguments(), *shortened])
    data = open_data(recipe, data_dir)
    model = build_model(recipe, data, seed=0)
    fit(model, data, seed=0, compile=True, progress=False, **fit_options(recipe))
    assert data.validation is not None
    assert data.train.y is not None
    assert data.validation.y is not None
    train, labels = codes_of(model, data.train.values()).flatten(1).numpy(), data.train.y.numpy()
    unseen, truth = codes_of(model, data.validation.values()).flatten(1).numpy(), data.validation.y.numpy()

    scores = []
    for title, make, scaled in CLASSIFIERS:
        start = time.process_time()
        classifier = make_pipeline(StandardScaler(), make()) if scaled else make()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # as in classification_accuracy
            correct = float(100 * classifier.fit(train, labels).score(unseen, truth))
        seconds = time.process_time() - start
        scores.append({"model": row.title, "classifier": title, "correct": correct, "seconds": seconds})
        print(scores[-1], flush=True)
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--epochs", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    scores = [s for row in MVAE_CODES.rows for s in measure(row.name, arguments.epochs, arguments.data_dir)]
    write_json("code_classifiers", {"epochs": arguments.epochs, "scores": scores})
    (HERE / "code_classifiers.md").write_text(page(scores, arguments.epochs), encoding="utf-8")


def page(scores: list[dict[str, Any]], epochs: int) -> str:
    text = (
        "Classifiers of the codes (posterior means) of 50,000 images of MNIST, scored on 10,000 validation images, after "
        f"{epochs} epochs of the trainings of table V; percent correct. Codes are brought to mean 0 and variance 1, those that a "
        "model does not use among them, unless they are taken as they are. The paper's numbers are of 100 epochs and of test images."
    )
    columns = {row.title: [s for s in scores if s["model"] == row.title] for row in MVAE_CODES.rows}
    rows = [
        "| classifier | " + " | ".join(f"{title} | CPU seconds" for title in columns) + " |",
        "|---" * (1 + 2 * len(columns)) + "|",
    ]
    for (title, _, _), *found in zip(CLASSIFIERS, *columns.values(), strict=True):
        rows.append(f"| {title} | " + " | ".join(f"{s['correct']:.2f} | {s['seconds']:.1f}" for s in found) + " |")
    for name in MEASURED:
        paper = [row.paper[f"{name}, all codes (%)"] for row in MVAE_CODES.rows]
        rows.append(f"| the paper's {name} | " + " | ".join(f"{number:.2f} | –" for number in paper) + " |")
    return described("Which classifiers of codes?", text) + "\n" + "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
