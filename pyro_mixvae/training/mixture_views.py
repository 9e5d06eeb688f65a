"""What the report of a mixture of autoencoders shows beside every model's: its components, one by one and together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pyro_mixvae import figures
from pyro_mixvae.data import DataSet, Split
from pyro_mixvae.metrics import active_units, component_classification, reconstruction_error
from pyro_mixvae.models import MVAE
from pyro_mixvae.models.mvae_analysis import (
    component_reconstructions,
    component_samples,
    crossed_reconstructions,
    interpolate,
    latent_codes,
    off_diagonal_mean,
    pairwise_dhsic,
    shared_noise,
    traverse,
)
from pyro_mixvae.models.mvae_dropout import THRESHOLDS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Data that go through a model at once, and training codes that the neighbours are looked for among.
BATCH, NEIGHBOURHOOD = 500, 10_000
SHOWN_DATA, SHOWN_PAIRS, SHOWN_POINTS = 12, 5, 1500
#: Data that the dHSIC of a pair of components needs at least, and labelled training data that the neighbours do.
DATA_OF_A_PAIR, LABELLED_NEIGHBOURS = 4, 5
#: How far the first entry of a code runs (figures 8 to 10).
FURTHEST = 3.0


def mixture_scores(model: MVAE, data: DataSet, split: Split, x: Tensor) -> dict[str, float]:
    """Reconstruction, dependence between components, how many are selected, and what their codes know.

    Args:
        model: a trained model.
        data: what it was trained on; its training codes are the neighbours.
        split: held-out data and labels.
        x: the same data, as numbers.

    Returns:
        Numbers by name. A component without an active unit says nothing about data, whatever its weight. Selected K is
        the paper's count of masks with one shared rate, which for Gaussian masks cannot fall below 0.579 K; with rates
        of their own, the number of components that are on.
    """
    y = _labels(model, split)
    parts = zip(x.split(BATCH), y.split(BATCH) if y is not None else [None] * len(x), strict=False)
    error = reconstruction_error(x, torch.cat([model.reconstruct(batch, labels) for batch, labels in parts]))
    scores = {"reconstruction error": error, "RMSE": error**0.5}
    codes = latent_codes(model, x, y)
    if len(x) > 1:
        active = [active_units(code) for code in codes.unbind(1)]
        scores["active units"] = float(sum(active))
        scores["components with active units"] = float(sum(units > 0 for units in active))
    if model.num_components > 1 and len(x) >= DATA_OF_A_PAIR:
        scores["mean pairwise dHSIC"] = off_diagonal_mean(pairwise_dhsic(model, x, y))
    if model.dropout != "none":
        how = "components on" if model.per_component else f"masks >= {THRESHOLDS[model.dropout]:g}"
        scores[f"selected K ({how})"] = model.masks.selected()
    if split.y is not None and (train_y := _can_vote(data.train, split)) is not None:
        train_x = data.train.values()[:NEIGHBOURHOOD].to(x)
        train = latent_codes(model, train_x, train_y if y is not None else None)
        found = component_classification(train, train_y, codes, split.y, ["kNN"])
        scores["kNN accuracy, all codes (%)"] = found["mixture"]["kNN"]
        scores["kNN accuracy, best component (%)"] = max(found[str(k)]["kNN"] for k in range(model.num_components))
    return scores


def mixture_figures(
    model: MVAE, data: DataSet, split: Split, x: Tensor, history: Sequence[Mapping[str, float]]
) -> dict[str, Figure]:
    """The pictures of a mixture of autoencoders, by file name.

    Args:
        model: a trained model.
        data: what it was trained on.
        split: held-out data and labels.
        x: the same data, as numbers.
        history: one row for each epoch.
    """
    y = _labels(model, split)
    drawn: dict[str, Figure] = {}
    if len(x.shape) == 4 and x.shape[1] in (1, 3):
        drawn |= _images(model, data, x, y)
    codes = latent_codes(model, x[:SHOWN_POINTS], None if y is None else y[:SHOWN_POINTS])
    labels = None if split.y is None else split.y[:SHOWN_POINTS]
    panels = {f"component {k}": code for k, code in enumerate(codes.unbind(1))}
    if len(codes) > 1:  # principal components need two
        drawn["latent"] = figures.latent_scatter_panels(panels, labels, data.class_names or None)
    if model.num_components > 1:
        owners = torch.arange(model.num_components).repeat(len(codes))
        drawn["latent_together"] = figures.latent_space(codes.flatten(0, 1), components=owners)
    if model.num_components > 1 and len(x) >= DATA_OF_A_PAIR:
        drawn["dependence"] = figures.dependence_matrix(pairwise_dhsic(model, x, y))
    if history and "selected_components" in history[0]:
        drawn["selection"] = selection(history, model.num_components)
    return drawn


def selection(history: Sequence[Mapping[str, float]], num_components: int) -> Figure:
    """Selected K and the dropout rates over the epochs of a training."""
    names = [name for name in history[0] if name.startswith("dropout_rate")]
    rates = {name.removeprefix("dropout_rate_"): [row[name] for row in history] for name in names}
    selected = [row["selected_components"] for row in history]
    return figures.selection_curves(selected, rates if len(names) > 1 else rates[names[0]], num_components)


def _images(model: MVAE, data: DataSet, x: Tensor, y: Tensor | None) -> dict[str, Figure]:
    shown, labels = x[:SHOWN_DATA], None if y is None else y[:SHOWN_DATA]
    first, second = x[:SHOWN_PAIRS], x[SHOWN_PAIRS : 2 * SHOWN_PAIRS][: len(x[:SHOWN_PAIRS])]
    grey: dict[str, Any] = {"value_range": data.train.value_range}
    cycled = _cycled(model)
    noise = torch.randn(SHOWN_DATA, model.latent_dim, dtype=x.dtype)
    crossed = crossed_reconstructions(model, x[:1], None if y is None else y[:1])[:, :, 0]
    drawn = {
        "views": figures.component_views(
            shown, component_reconstructions(model, shown, labels), model.reconstruct(shown, labels), **grey
        ),
        "components": figures.component_samples(component_samples(model, SHOWN_DATA, cycled), **grey),
        "crossed": figures.crossed_components(crossed, **grey),
        "shared_noise": figures.component_samples(shared_noise(model, noise, cycled), **grey),
    }
    steps = torch.linspace(0, FURTHEST, SHOWN_DATA, dtype=x.dtype)
    path = traverse(model, steps, y=None if y is None else y[0])
    drawn["traversals"] = figures.style_traversal(path, steps, **grey)
    if len(second) == len(first) and y is None:
        drawn["interpolations"] = figures.interpolations(interpolate(model, first, second), first, second, **grey)
        if model.num_components > 1:
            path = interpolate(model, first, second, shift=1)
            drawn["interpolations_across"] = figures.interpolations(path, first, second, **grey)
    return drawn


def _can_vote(train: Split, test: Split) -> Tensor | None:
    """Labels of the training codes that are looked among; None where too few are known, or none to be found."""
    if train.y is None or test.y is None or test.y.dim() > 1 or not (test.y >= 0).any():
        return None
    y = train.y[:NEIGHBOURHOOD]
    return y if (y >= 0).sum() >= LABELLED_NEIGHBOURS else None


def _labels(model: MVAE, split: Split) -> Tensor | None:
    """The labels that the model is conditioned on; None for a model without."""
    return None if model.num_classes is None else split.y


def _cycled(model: MVAE) -> Tensor | None:
    return None if model.num_classes is None else torch.arange(SHOWN_DATA) % model.num_classes
