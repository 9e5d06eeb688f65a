"""What a trained model is worth on held-out data: a table and figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pyro_mixvae import figures
from pyro_mixvae.data import DataSet, Split
from pyro_mixvae.metrics import (
    clustering_scores,
    confusion_matrix,
    dead_units,
    gaussian_mixture_baseline,
    kmeans_baseline,
)
from pyro_mixvae.models import (
    MVAE,
    Classifier,
    FactorialMixtureVAE,
    MixturePosteriorVAE,
    MixtureVAE,
    SemiSupervisedCSRAE,
)
from pyro_mixvae.training.components import log_responsibilities
from pyro_mixvae.training.factors import factor_figures, factor_scores
from pyro_mixvae.training.labels import label_figures, label_scores
from pyro_mixvae.training.mixture_views import mixture_figures, mixture_scores
from pyro_mixvae.training.posterior_views import posterior_figures, posterior_scores
from pyro_mixvae.training.representation import representation_scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Data that go through a model at once.
BATCH = 500
ROW_OF_SAMPLES = 10
SHOWN_POINTS = 2000
#: From so many distances in an iteration on, k-means has one start in place of ten: each takes minutes.
MANY_DISTANCES = 10_000_000
#: Rows that are whole numbers.
COUNTS = ("used clusters", "active units", "components with active units", "bimodal axes")
#: Components that are shown at most, those with the most data.
SHOWN_COMPONENTS = 48
#: What is said below the table.
UNITS = "The loss, its terms (which sum to it) and the log-likelihood are in nats per datum."
GRID_SIDE, GRID_SAMPLES = 80, 100


@dataclass(frozen=True)
class Evaluation:
    """Results and pictures of one model on one data set.

    Attributes:
        part: the part of the data set that was held out, ``"test"`` where there is one.
        results: one number for each row of the table, by name.
        baselines: the same rows for simple methods, by method.
        figures: matplotlib figures, by file name.
        nats: the rows that are in nats per datum.
    """

    part: str
    results: dict[str, float]
    baselines: dict[str, dict[str, float]] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    nats: tuple[str, ...] = ()

    def table(self, name: str) -> list[list[str]]:
        """The results as they are shown, line by line: a header, then one line for each row.

        Args:
            name: what the model's column is called.
        """
        columns = {name: self.results, **self.baselines}
        lines = [[row, *(self._shown(row, column.get(row)) for column in columns.values())] for row in self.results]
        return [["", *columns], *lines]

    def _shown(self, row: str, value: float | None) -> str:
        if value is None:
            return ""
        return f"{value:.{0 if row in COUNTS else 2 if row in self.nats else 3}f}"


def evaluate(
    model: MixtureVAE | Classifier,
    data: DataSet,
    history: Sequence[Mapping[str, float]] = (),
    num_samples: int = 500,
    seed: int = 0,
    max_likelihood_data: int = 1000,
) -> Evaluation:
    """Measure a model on a data set's test part, or on its last part where it has none.

    Args:
        model: a trained model.
        data: the data set that it was trained on.
        history: one row for each epoch, as :class:`~pyro_mixvae.training.FitResult` holds it.
        num_samples: draws for each datum of the importance-sampled log-likelihood.
        seed: of those draws, of the samples shown and of k-means; the caller's random state is left alone.
        max_likelihood_data: the log-likelihood is taken of so many data at most, the first ones.

    K-means beside it is the best of ten starts, or one start where ten would take many minutes (training data times
    clusters above ten million).
    """
    part, split = list(data.parts().items())[-1]
    dtype = next(parameter.dtype for parameter in model.parameters())
    x = split.values().to(dtype)
    if isinstance(model, Classifier):
        drawn = label_figures(model, data, x, split.y)
        if history:
            drawn["objective"] = figures.objective_terms(*_series(history))
        return Evaluation(part, label_scores(model, data, x, split.y), figures=drawn)
    y = _classes(split)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        results = _terms(model, x)
        results["log-likelihood"] = model.log_likelihood(x[:max_likelihood_data], num_samples).mean().item()
        nats = tuple(results)
        baselines: dict[str, dict[str, float]] = {}
        grey = data.train.value_range
        pair = seen(x[:24]), seen(_batched(model.reconstruct, x[:24]))
        drawn = {}
        if _can_be_drawn(pair[0]):
            drawn["reconstructions"] = figures.reconstructions(*pair, value_range=grey)
        if history:
            drawn["objective"] = figures.objective_terms(*_series(history))
        if isinstance(model, SemiSupervisedCSRAE):
            results |= label_scores(model, data, x, split.y)
            drawn |= label_figures(model, data, x, split.y)
            y = None  # its codes hold what labels do not say
        results |= representation_scores(model, data, x, y)
        if isinstance(model, MVAE):
            results |= mixture_scores(model, data, split, x)
            drawn |= mixture_figures(model, data, split, x, history)
        elif isinstance(model, FactorialMixtureVAE):
            results |= factor_scores(model, split, x)
            drawn |= factor_figures(model, data, x)
        elif _has_components(model):
            logarithms = _batched(partial(log_responsibilities, model), x)
            responsibilities = logarithms.exp()
            drawn |= _component_figures(model, data, split, x, responsibilities)
            if y is not None:
                results |= _named(clustering_scores(logarithms, y))
            baselines = _baselines(data, x, y, responsibilities.shape[1], seed)
        else:
            drawn |= _latent(_codes(model, x), _shown_labels(split), None, data.class_names)
            if pair[0].dim() == 4:
                drawn["samples"] = figures.image_grid(seen(model.sample(ROW_OF_SAMPLES**2)), value_range=grey)
            if isinstance(model, MixturePosteriorVAE):
                results |= posterior_scores(model, x)
                drawn |= posterior_figures(model, data, x)
        if shares := dead_units(model, model.reconstruct, x[:SHOWN_POINTS], BATCH):
            results["dead units (%)"] = 100 * max(shares.values())
        if tuple(x.shape[1:]) == (2,):
            grid = _grid(x)
            log_density = model.log_likelihood(grid.reshape(-1, 2), GRID_SAMPLES).reshape(grid.shape[:2])
            drawn["density"] = figures.density_2d(grid, {"model": log_density}, x)
    return Evaluation(part, results, baselines, drawn, nats)


def _baselines(data: DataSet, x: Tensor, y: Tensor | None, k: int, seed: int) -> dict[str, dict[str, float]]:
    """Simple methods with as many clusters: k-means where there are labels, a Gaussian mixture for vectors."""
    train = data.train.values()
    baselines: dict[str, dict[str, float]] = {}
    # neither can place more clusters than there are data, and scikit-learn's mixture takes two data at least
    if len(train) < max(k, 2):
        return baselines
    if y is not None:
        num_starts = 10 if len(train) * k <= MANY_DISTANCES else 1
        baselines["k-means"] = _named(kmeans_baseline(train, x, y, k, seed, num_starts))
    if len(data.event_shape) == 1:
        baselines["Gaussian mixture"] = _named(gaussian_mixture_baseline(train, x, k, y, seed))
    return baselines


def _grid(x: Tensor) -> Tensor:
    """An even grid over the plane that holds the data: [H, W, 2]."""
    low, high = x.amin(0), x.amax(0)
    margin = 0.1 * (high - low)
    sides = [torch.linspace(a.item(), b.item(), GRID_SIDE) for a, b in zip(low - margin, high + margin, strict=True)]
    return torch.stack(torch.meshgrid(*sides, indexing="xy"), dim=-1).to(x)


def _terms(model: MixtureVAE, x: Tensor) -> dict[str, float]:
    """The mean of the objective's terms in nats per datum, their sum first."""
    totals: dict[str, float] = {}
    for batch in x.split(BATCH):
        for name, term in model.terms(batch).items():
            value = term.sum().item() if term.dim() else term.item() * len(batch)
            totals[name] = totals.get(name, 0.0) + value / len(x)
    return {"loss": sum(totals.values()), **totals}


def _named(scores: Mapping[str, float]) -> dict[str, float]:
    """The scores under the names of the table."""
    names = {
        "accuracy": "accuracy (most-confident)",
        "accuracy_majority": "accuracy (majority)",
        "accuracy_hungarian": "accuracy (one-to-one)",
        "nmi": "NMI",
        "ari": "ARI",
        "used_clusters": "used clusters",
        "log_likelihood": "log-likelihood",
    }
    return {names.get(name, name): value for name, value in scores.items()}


def _component_figures(
    model: Any, data: DataSet, split: Split, x: Tensor, responsibilities: Tensor
) -> dict[str, Figure]:
    num_components = responsibilities.shape[1]
    usage = responsibilities.mean(0)
    shown = usage.topk(min(num_components, SHOWN_COMPONENTS)).indices.sort().values
    samples = torch.stack([seen(model.sample(ROW_OF_SAMPLES, component=int(k))) for k in shown])
    own = responsibilities[:SHOWN_POINTS].argmax(1)
    own = torch.where(torch.isin(own, shown), own, -1)
    drawn = {
        "components": figures.component_samples(
            samples, usage[shown], numbers=shown, value_range=data.train.value_range
        ),
        **_latent(_codes(model, x), _shown_labels(split), own, data.class_names),
    }
    if (y := _classes(split)) is not None:
        matrix = confusion_matrix(responsibilities.argmax(1), y, num_components, data.num_classes)
        drawn["clusters"] = figures.cluster_confusion(matrix, data.class_names or None)
    return drawn


def _latent(
    codes: Tensor, labels: Tensor | None, components: Tensor | None, class_names: Sequence[str]
) -> dict[str, Figure]:
    """The picture of the latent space; none of a single code."""
    if not _can_be_drawn(codes):
        return {}
    return {"latent": figures.latent_space(codes, labels, components, class_names or None)}


def _can_be_drawn(values: Tensor) -> bool:
    """Whether these are images, or vectors enough to have principal components."""
    return values.dim() == 4 or len(values) > 1


def _has_components(model: Any) -> bool:
    return hasattr(model, "responsibilities") and getattr(model, "num_components", 1) is not None


@torch.no_grad()
def _codes(model: Any, x: Tensor) -> Tensor:
    """Posterior means of z of the data that are shown."""
    codes = model.encode(x[:SHOWN_POINTS])
    return (codes["z"] if isinstance(codes, dict) else codes).mean


def _classes(split: Split) -> Tensor | None:
    """One class for each datum, [N]; None where there are none, or all of them are missing."""
    return None if split.y is None or split.y.dim() > 1 or not (split.y >= 0).any() else split.y


def _shown_labels(split: Split) -> Tensor | None:
    return None if split.y is None or split.y.dim() > 1 else split.y[:SHOWN_POINTS]


def seen(x: Tensor) -> Tensor:
    """Data as the figures take them: images [N, C, H, W] with C 1 or 3, all else as vectors."""
    if x.dim() == 3:
        return x.unsqueeze(1)
    return x if x.dim() == 4 and x.shape[1] in (1, 3) else x.flatten(1)


def _series(history: Sequence[Mapping[str, float]]) -> tuple[dict[str, dict[str, list[float]]], list[float]]:
    """The history by term and part, and its epochs counted from 1."""
    series: dict[str, dict[str, list[float]]] = {}
    for name in dict.fromkeys(name for row in history for name in row):
        part, _, term = name.partition("/")
        if term:
            series.setdefault(term, {})[part] = [row.get(name, math.nan) for row in history]
    return series, [row["epoch"] + 1 for row in history]


def _batched(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return torch.cat([function(batch) for batch in x.split(BATCH)])
