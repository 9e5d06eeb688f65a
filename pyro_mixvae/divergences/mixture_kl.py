"""Bounds of the Kullback-Leibler divergence to a mixture of Gaussians, which has no closed form."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_mixvae.divergences.cauchy_schwarz import describe
from pyro_mixvae.divergences.gaussian_components import GaussianComponents, gaussian_components


class MixtureKLBounds(NamedTuple):
    """What is known about KL(q || p) in closed form, each ``[*]`` in nats: ``lower <= KL(q || p) <= upper``.

    :param lower: the lower bound; it may be negative, where zero is the better one.
    :param upper: the upper bound.
    :param variational: the variational approximation, at least ``lower``. For a single Gaussian q it is
        ``upper``; for a mixture it is no bound and may even exceed ``upper``.
    """

    lower: Tensor
    upper: Tensor
    variational: Tensor


def mixture_kl_bounds(q: Distribution, p: Distribution, num_iterations: int = 10) -> MixtureKLBounds:
    r"""Bounds of KL(q || p) for mixtures of diagonal Gaussians, and the variational approximation.

    With :math:`q = \sum_a \pi_a f_a` and :math:`p = \sum_b \omega_b g_b`, the divergences
    :math:`K_{ab} = KL(f_a \| g_b)` and their lower bounds
    :math:`J_{ab} = -\log \int f_a g_b - H(f_a) \le K_{ab}` by Jensen's inequality (:math:`K_{aa'}` and
    :math:`J_{aa'}` are those of :math:`f_a` and :math:`f_{a'}`),

    .. math::
        \text{lower} &=
            \sum_a \pi_a \log \frac{\sum_{a'} \pi_{a'} e^{-K_{aa'}}}{\sum_b \omega_b e^{-J_{ab}}} \\
        \text{variational} &=
            \sum_a \pi_a \log \frac{\sum_{a'} \pi_{a'} e^{-K_{aa'}}}{\sum_b \omega_b e^{-K_{ab}}} \\
        \text{upper} &= \min\Bigl\{
            \sum_a \pi_a \log \frac{\sum_{a'} \pi_{a'} e^{-J_{aa'}}}{\sum_b \omega_b e^{-K_{ab}}},\;
            \sum_a \pi_a \log \frac{\pi_a}{\sum_b \psi_{ab} e^{-K_{ab}}} \Bigr\} .

    The second upper bound holds for all :math:`\psi \ge 0` with :math:`\sum_a \psi_{ab} = \omega_b`. It
    starts at :math:`\psi_{ab} = \pi_a \omega_b` and improves with each iteration of

    .. math::
        \phi_{ab} = \pi_a \frac{\psi_{ab} e^{-K_{ab}}}{\sum_{b'} \psi_{ab'} e^{-K_{ab'}}}, \qquad
        \psi_{ab} = \omega_b \frac{\phi_{ab}}{\sum_{a'} \phi_{a'b}} .

    :param q: a ``Normal``, an ``Independent`` of Normals, a
        :class:`~pyro_mixvae.distributions.GaussianMixture` or a ``MixtureSameFamily`` of Normals.
    :param p: the same; batch shapes broadcast.
    :param num_iterations: how often the variational upper bound is improved, 0 or more.
    :return: ``lower``, ``upper`` and ``variational``, each ``[*]`` in nats.
    :raises NotImplementedError: where q or p is anything else.
    :raises ValueError: where the event shapes differ or ``num_iterations`` is negative.

    Source: Hershey and Olsen 2007, *Approximating the Kullback Leibler divergence between Gaussian mixture
    models*, the variational approximation and upper bound; Durrieu, Thiran, Kelly 2012, *Lower and upper
    bounds for approximation of the Kullback-Leibler divergence between Gaussian mixture models*.

    >>> from pyro.distributions import Normal
    >>> from pyro_mixvae.distributions import GaussianMixture
    >>> q = Normal(torch.zeros(1), torch.ones(1)).to_event(1)
    >>> p = GaussianMixture(torch.zeros(2), torch.tensor([[-1.0], [1.0]]), torch.ones(2, 1))
    >>> mixture_kl_bounds(q, p)
    MixtureKLBounds(lower=tensor(0.0966), upper=tensor(0.5000), variational=tensor(0.5000))
    """
    components_q, components_p = _components("q", q), _components("p", p)
    if q.event_shape != p.event_shape:
        raise ValueError(
            f"q and p must have the same event_shape, got {tuple(q.event_shape)} and {tuple(p.event_shape)}"
        )
    if num_iterations < 0:
        raise ValueError(f"num_iterations must not be negative, got {num_iterations}")
    log_pi, log_omega = components_q.log_weights, components_p.log_weights
    kl_within, kl_between = _pairwise_kl(components_q, components_q), _pairwise_kl(components_q, components_p)
    self_kl = _log_mean_exp(log_pi, kl_within)
    self_overlap = _log_mean_exp(log_pi, _pairwise_overlap(components_q, components_q))
    cross_kl = _log_mean_exp(log_omega, kl_between)
    cross_overlap = _log_mean_exp(log_omega, _pairwise_overlap(components_q, components_p))
    matched = _matched(log_pi, log_omega, kl_between, num_iterations)

    batch_shape = torch.broadcast_shapes(q.batch_shape, p.batch_shape)
    pi = log_pi.exp()
    lower, upper, variational = (
        (pi * log_ratio).sum(-1).expand(batch_shape)
        for log_ratio in (self_kl - cross_overlap, self_overlap - cross_kl, self_kl - cross_kl)
    )
    upper = torch.minimum(upper, (pi * (log_pi - matched)).sum(-1))
    return MixtureKLBounds(lower, upper, variational)


def _components(name: str, distribution: Distribution) -> GaussianComponents:
    components = gaussian_components(distribution)
    if components is None:
        raise NotImplementedError(
            f"{name} must be a diagonal Gaussian or a mixture of them, got {describe(distribution)}"
        )
    return components


def _log_mean_exp(log_weights: Tensor, pairs: Tensor) -> Tensor:
    """log sum_b omega_b exp(-pairs_ab) for each a."""
    return torch.logsumexp(log_weights.unsqueeze(-2) - pairs, -1)


def _matched(log_pi: Tensor, log_omega: Tensor, kl: Tensor, num_iterations: int) -> Tensor:
    """log sum_b psi_ab exp(-K_ab) for each a, after so many improvements of psi."""
    log_psi = log_pi.unsqueeze(-1) + log_omega.unsqueeze(-2)
    for _ in range(num_iterations):
        log_phi = log_pi.unsqueeze(-1) + (log_psi - kl).log_softmax(-1)
        log_psi = log_omega.unsqueeze(-2) + log_phi.log_softmax(-2)
    return torch.logsumexp(log_psi - kl, -1)


def _pairwise_kl(q: GaussianComponents, p: GaussianComponents) -> Tensor:
    """K_ab, ``[*, N, M]``."""
    (mu, s), (nu, t) = _pairs(q, p)
    return ((s / t).square() - 1 - 2 * (s / t).log() + ((mu - nu) / t).square()).sum(-1).mul(0.5)


def _pairwise_overlap(q: GaussianComponents, p: GaussianComponents) -> Tensor:
    """J_ab, ``[*, N, M]``."""
    (mu, s), (nu, t) = _pairs(q, p)
    variance = s.square() + t.square()
    return ((t / s).square().log1p() - 1 + (mu - nu).square() / variance).sum(-1).mul(0.5)


def _pairs(q: GaussianComponents, p: GaussianComponents) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    return (q.locs.unsqueeze(-2), q.scales.unsqueeze(-2)), (p.locs.unsqueeze(-3), p.scales.unsqueeze(-3))
