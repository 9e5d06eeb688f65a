"""What a factorial mixture is worth on held-out data, factor by factor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyro_mixvae import figures
from pyro_mixvae.data import DataSet, Split
from pyro_mixvae.metrics import clustering_scores
from pyro_mixvae.models import FactorialMixtureVAE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Data that go through the model at once.
BATCH = 500
#: What of a factor is drawn at most, the components that most data have.
SHOWN_COMPONENTS = 12
DRAWS, SHOWN_DRAWS = 100, 5


def factor_scores(model: FactorialMixtureVAE, split: Split, x: Tensor) -> dict[str, float]:
    """For each factor its pruned components, and where there are labels how well it matches them.

    Args:
        model: a trained model.
        split: the held-out part.
        x: its data as the model takes them.

    Returns:
        rows of the table by name; a labelled factor has the plain ``accuracy`` of its most probable component.
    """
    scores: dict[str, float] = {}
    for i, log_gamma in enumerate(_log_responsibilities(model, x)):
        if model.xi == "posterior":
            scores[f"factor {i}: pruned components"] = float(len(model.pruned()[i]))
        if split.y is None:
            continue
        if i in model.labelled:
            y = split.y if split.y.dim() == 1 else split.y[:, model.labelled.index(i)]
            known = y >= 0
            if not known.any():
                continue
            scores[f"factor {i}: accuracy"] = (log_gamma.argmax(-1)[known] == y[known]).float().mean().item()
        elif split.y.dim() == 1 and (split.y >= 0).any():
            found = clustering_scores(log_gamma, split.y)
            scores[f"factor {i}: accuracy (most-confident)"] = found["accuracy"]
            scores[f"factor {i}: NMI"] = found["nmi"]
    return scores


def factor_figures(model: FactorialMixtureVAE, data: DataSet, x: Tensor) -> dict[str, Figure]:
    """Components of each factor in the space of images, and the first two factors crossed; nothing for vectors.

    ``factors`` are means of draws, ``variations`` one draw in which nothing else changes.
    """
    if len(model.event_shape) != 3 or model.event_shape[0] not in (1, 3):
        return {}
    drawn: dict[str, Figure] = {}
    kept = []
    for i, log_gamma in enumerate(_log_responsibilities(model, x)):
        usage = log_gamma.exp().mean(0)
        shown = usage.topk(min(len(usage), SHOWN_COMPONENTS)).indices.sort().values.tolist()
        kept.append(shown)
        parts = [model.component_summary(k, i, DRAWS, SHOWN_DRAWS) for k in shown]
        means, variances, samples = (torch.stack([part[n] for part in parts]) for n in ("mean", "variance", "samples"))
        labels = [f"{k}  ({100 * usage[k]:.0f}%)" for k in shown]
        drawn[f"factor-{i}"] = figures.component_rows(
            means, variances, samples, labels, value_range=data.train.value_range, title=f"factor {i}"
        )
    if model.num_factors > 1:
        rows, columns = kept[:2]
        names = [[str(k) for k in shown] for shown in (rows, columns)]
        crossed = {
            "factors": model.grid([0, 1], num_samples=20, choices=[rows, columns]),
            "variations": model.variations([0, 1], choices=[rows, columns]),
        }
        for name, images in crossed.items():
            drawn[name] = figures.factor_grid(
                images, "factor 0", "factor 1", *names, value_range=data.train.value_range
            )
    return drawn


def _log_responsibilities(model: FactorialMixtureVAE, x: Tensor) -> list[Tensor]:
    batches = zip(*(model.log_responsibilities(batch) for batch in x.split(BATCH)), strict=True)
    return [torch.cat(parts) for parts in batches]
