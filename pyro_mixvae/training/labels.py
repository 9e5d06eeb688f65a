"""What a model that predicts labels is worth on held-out data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pyro_mixvae import figures
from pyro_mixvae.data import DataSet
from pyro_mixvae.metrics import classification_error, confusion_matrix, multilabel_f1

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Data that go through the model at once.
BATCH = 500


def label_scores(model: Any, data: DataSet, x: Tensor, y: Tensor | None) -> dict[str, float]:
    """The error of classes, or F1 of each yes-or-no label, both in percent.

    Args:
        model: has ``predict_proba``.
        data: for the labels' names.
        x: held-out data.
        y: their labels; without any there are no rows.
    """
    if y is None or not (y >= 0).any():
        return {}
    found = predicted(model, x)
    if y.dim() == 1:
        return {"classification error (%)": classification_error(found, y)}
    scores = multilabel_f1(found, y, data.label_names)
    return {f"F1, {name} (%)": value for name, value in scores.items()}


def label_figures(model: Any, data: DataSet, x: Tensor, y: Tensor | None) -> dict[str, Figure]:
    """Which classes are taken for which."""
    if y is None or y.dim() != 1 or not (y >= 0).any():
        return {}
    found = predicted(model, x)
    matrix = confusion_matrix(found.argmax(1), y, found.shape[1], data.num_classes)
    return {
        "predictions": figures.cluster_confusion(matrix, data.class_names or None, sort=False, rows="predicted class")
    }


def predicted(model: Any, x: Tensor) -> Tensor:
    """q(y | x) of all data, batch by batch."""
    return torch.cat([model.predict_proba(batch) for batch in x.split(BATCH)])
