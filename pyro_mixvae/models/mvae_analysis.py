"""What an MVAE's components see, know and generate: every analysis of the paper, as tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_mixvae.divergences import dhsic
from pyro_mixvae.models.base import evaluating
from pyro_mixvae.models.mvae import MVAE

#: dHSIC takes memory and time as the square of the data: so many at most enter a pair's value.
MOST_DATA = 1000


@evaluating
def latent_codes(model: MVAE, x: Tensor, y: Tensor | None = None) -> Tensor:
    """Posterior means of every component's code, [B, K, D]; ``flatten(1)`` concatenates them (table V)."""
    return model.encode(x, y)["z"].mean


@evaluating
def component_reconstructions(model: MVAE, x: Tensor, y: Tensor | None = None) -> Tensor:
    """Each component's own view of the data, its code decoded alone: [K, B, \\*event_shape] (figure 2)."""
    return _views(model, model.encode(x, y)["z"].mean, y)


@evaluating
def crossed_reconstructions(model: MVAE, x: Tensor, y: Tensor | None = None) -> Tensor:
    """Encoder i's code through sub-decoder j alone: [K encoders, K sub-decoders, B, \\*event_shape] (figure 3).

    The diagonal is :func:`component_reconstructions`.
    """
    codes = model.encode(x, y)["z"].mean
    return torch.stack([_views(model, code.unsqueeze(1).expand_as(codes), y) for code in codes.unbind(1)])


@evaluating
def component_samples(model: MVAE, n: int, y: Tensor | None = None) -> Tensor:
    """n draws of every component by itself: [K, n, \\*event_shape].

    Args:
        model: an MVAE.
        n: draws of each component.
        y: labels, [n], for a model with ``num_classes``.
    """
    return torch.stack([model.sample(n, component=k, y=y) for k in range(model.num_components)])


@evaluating
def shared_noise(model: MVAE, noise: Tensor, y: Tensor | None = None) -> Tensor:
    """One noise vector through every sub-decoder: [K, n, \\*event_shape] for noise [n, latent_dim] (figure 17)."""
    return _views(model, noise.unsqueeze(1).expand(-1, model.num_components, -1), y)


@evaluating
def traverse(model: MVAE, values: Tensor, dim: int = 0, y: Tensor | None = None) -> Tensor:
    """Every component by itself as one entry of its code runs over values, the others 0 (figures 8 to 10).

    Args:
        model: an MVAE; the paper's is conditioned on a label and has ``latent_dim`` 2.
        values: [S]; the paper's run over 0..3 (K = 4) and 0..6 (K = 6).
        dim: which entry, 0..latent_dim-1.
        y: one label, 0-d, for a model with ``num_classes``.

    Returns:
        [K, S, \\*event_shape].

    Raises:
        ValueError: for an entry that there is not.
    """
    if not 0 <= dim < model.latent_dim:
        raise ValueError(f"dim: expected 0..{model.latent_dim - 1}, got {dim}")
    path = values.new_zeros(len(values), model.latent_dim)
    path[:, dim] = values
    labels = None if y is None else y.expand(len(values))
    return _views(model, path.unsqueeze(1).expand(-1, model.num_components, -1), labels)


@evaluating
def interpolate(
    model: MVAE, first: Tensor, second: Tensor, num_steps: int = 8, shift: int = 0, y: Tensor | None = None
) -> Tensor:
    r"""Decoded points of the straight line between two data's codes: [num_steps, B, \*event_shape].

    .. math:: d_i = (1 - a) E_i(x_1) + a E_i(x_2), \qquad c = \sum_i w_i \, t_i(d_{i + \text{shift}})

    with posterior means of codes and weights, the weights on the same line, and a from 0 to 1.

    Args:
        model: an MVAE.
        first, second: data, [B, \*event_shape].
        num_steps: how many points, the ends with them.
        shift: 0: every sub-decoder takes its own encoder's code (figure 6); 1..K-1: that of the component so much
            further on, cyclically (figure 7).
        y: labels of both, [B], for a model with ``num_classes``.

    Raises:
        ValueError: for fewer than two steps, or a shift that there is not.

    Source: Ye and Bors, equations 33 to 36.
    """
    if num_steps < 2:
        raise ValueError(f"num_steps: expected an integer >= 2, got {num_steps}")
    if not 0 <= shift < model.num_components:
        raise ValueError(f"shift: expected 0..{model.num_components - 1}, got {shift}")
    ends = [model.encode(x, y) for x in (first, second)]
    a = torch.linspace(0, 1, num_steps).to(first)
    codes, weights = (
        torch.lerp(start.unsqueeze(0), end.unsqueeze(0), a.reshape(-1, *(1,) * start.dim()))
        for start, end in (tuple(q[site].mean for q in ends) for site in ("z", "w"))
    )
    return model.decode(codes.roll(-shift, dims=-2), model.masks.weights(weights), y).mean


@evaluating
def pairwise_dhsic(model: MVAE, x: Tensor, y: Tensor | None = None, draw: bool = False) -> Tensor:
    """dHSIC of every pair of components' codes, [K, K]; on the diagonal of a component with itself (figure 12).

    Args:
        model: an MVAE.
        x: data; the first 1,000 enter.
        y: their labels, for a model with ``num_classes``.
        draw: compare draws from the posterior, as training does, instead of their means.
    """
    posterior = model.encode(x[:MOST_DATA], None if y is None else y[:MOST_DATA])["z"]
    codes = (posterior.sample() if draw else posterior.mean).unbind(1)
    matrix = codes[0].new_zeros(len(codes), len(codes))
    for i, code in enumerate(codes):
        for j, other in enumerate(codes[: i + 1]):
            matrix[i, j] = matrix[j, i] = dhsic([code, other], model.bandwidth)
    return matrix


def off_diagonal_mean(matrix: Tensor) -> float:
    """The mean of a pairwise matrix over different components, [K, K] with K >= 2.

    >>> off_diagonal_mean(torch.tensor([[9.0, 1.0], [3.0, 9.0]]))
    2.0
    """
    count = len(matrix)
    return float((matrix.sum() - matrix.diagonal().sum()) / (count * (count - 1)))


def _views(model: MVAE, codes: Tensor, y: Tensor | None) -> Tensor:
    """Every component's code [N, K, D] decoded alone: [K, N, \\*event_shape]."""
    alone = map(model.only, range(model.num_components))
    return torch.stack([model.decode(codes, weights, y).mean for weights in alone])
