"""What the latent codes of a model are worth: a classifier of nearest neighbours, dimensions in use, reconstruction."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyro_mixvae.data import DataSet
from pyro_mixvae.metrics import active_units, knn_error, reconstruction_error
from pyro_mixvae.models import MixtureVAE

#: Data that go through a model at once.
BATCH = 500

#: The paper's numbers of neighbours.
NEIGHBOURS = (3, 5, 10)


def representation_scores(model: MixtureVAE, data: DataSet, x: Tensor, y: Tensor | None) -> dict[str, float]:
    """Scores of the codes of held-out data, by name.

    Args:
        model: one with a single latent variable; others have no scores.
        data: what it was trained on; its training codes are the neighbours.
        x: held-out data, [N, \\*event_shape].
        y: their labels, [N], or None.

    Returns:
        ``kNN error, k = ... (%)`` where there are labels, on one sample of each code (the paper's) and on posterior
        means; ``active units``, from two data on; ``reconstruction error``, the squared error summed over the values of
        a datum.
    """
    scores: dict[str, float] = {}
    codes = encoded(model, x)
    if codes is None:
        return scores
    means, samples = codes
    train_y = data.train.y
    num_labelled = 0 if train_y is None else int((train_y >= 0).sum())
    neighbours = [k for k in NEIGHBOURS if k <= num_labelled]
    # without labels of training data there is no neighbour to ask
    if y is not None and train_y is not None and neighbours:
        train_codes = encoded(model, as_trained(data, x.dtype))
        assert train_codes is not None
        train_means, train_samples = train_codes
        for name, train, test in (("", train_samples, samples), (" of means", train_means, means)):
            for k, error in knn_error(train, train_y, test, y, neighbours).items():
                scores[f"kNN error{name}, k = {k} (%)"] = error
    if len(means) > 1:
        scores["active units"] = float(active_units(means))
    scores["reconstruction error"] = reconstruction_error(x, torch.cat([model.reconstruct(b) for b in x.split(BATCH)]))
    return scores


@torch.no_grad()
def encoded(model: MixtureVAE, x: Tensor) -> tuple[Tensor, Tensor] | None:
    """Posterior means and one sample of each code, both [N, D]; None for a model with several latent variables."""
    means, samples = [], []
    for batch in x.split(BATCH):
        posterior: Any = model.encode(batch)
        if isinstance(posterior, dict) or len(posterior.event_shape) != 1:
            return None
        means.append(posterior.mean)
        samples.append(posterior.sample())
    return torch.cat(means), torch.cat(samples)


def as_trained(data: DataSet, dtype: torch.dtype) -> Tensor:
    """The training data as the model saw them: a draw of the binarisation, where there is one."""
    x = data.train.values().to(dtype)
    if data.transform is None:
        return x
    noise = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
    return torch.cat([data.transform(batch, noise) for batch in x.split(BATCH)])
