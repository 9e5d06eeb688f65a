r"""Closed forms of the Cauchy-Schwarz divergence for Gaussians and their mixtures.

For mixtures :math:`q = \sum_n w_n q_n` and :math:`p = \sum_m v_m p_m` each integral of the divergence is a
sum over pairs of components. That of one pair is :math:`N(\mu_n; \nu_m, \Sigma_n + T_m)`, or in other words

.. math::
    \int q_n\,p_m\,dz = \Bigl(\int q_n^2\,dz \int p_m^2\,dz\Bigr)^{1/2} e^{-D_{nm}},
    \qquad D_{nm} = D_{CS}(q_n, p_m) .

The divergence does not change when q or p is multiplied by a constant. So with the weights :math:`a_n \propto
w_n (\int q_n^2)^{1/2}` and :math:`b_m \propto v_m (\int p_m^2)^{1/2}`, both normalised, it is

.. math::
    D_{CS}(q, p) = -\log \sum_{nm} a_n b_m e^{-D_{nm}}
        + \tfrac12 \log \sum_{nn'} a_n a_{n'} e^{-D_{nn'}}
        + \tfrac12 \log \sum_{mm'} b_m b_{m'} e^{-D_{mm'}} .

All three terms are of the order of the result: the large constants of the densities (:math:`D \log 2\pi`, the
logarithms of the scales) never enter, and so cannot cancel in single precision.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MixtureSameFamily, MultivariateNormal, Normal

from pyro_mixvae.distributions import GaussianMixture
from pyro_mixvae.distributions.precision import own_precision
from pyro_mixvae.divergences.cauchy_schwarz import cauchy_schwarz, register_cauchy_schwarz, without_rounding
from pyro_mixvae.divergences.gaussian_components import (
    GaussianComponents,
    collapse_expanded,
    gaussian_components,
)
from pyro_mixvae.divergences.log_row_sums import log_row_sums

MAX_BLOCK = 2**20
"""How many numbers (rows x columns x D) a block of pairs of components may have."""


@register_cauchy_schwarz(Normal, Normal)
def _normals(q: Normal, p: Normal) -> Tensor:
    r"""The divergence of two scalar Normals, exact to the last digits also where it is small.

    .. math::
        D_{CS} = \tfrac12 \log \frac{s^2 + t^2}{2 s t} + \frac{(\mu - \nu)^2}{2 (s^2 + t^2)},
        \qquad \frac{s^2 + t^2}{2 s t} = 1 + \frac{(s - t)^2}{2 s t}
    """
    s, t = q.scale, p.scale
    spread = (s - t) / s * ((s - t) / t)
    return 0.5 * (0.5 * spread).log1p() + 0.5 * (q.loc - p.loc).square() / (s.square() + t.square())


@register_cauchy_schwarz(MultivariateNormal, MultivariateNormal)
def _multivariate_normals(q: MultivariateNormal, p: MultivariateNormal) -> Tensor:
    r"""The divergence of two multivariate Normals.

    .. math::
        D_{CS} = \tfrac12 \log\det\frac{\Sigma + T}2 - \tfrac14 \log\det\Sigma - \tfrac14 \log\det T
            + \tfrac12 (\mu - \nu)^\top (\Sigma + T)^{-1} (\mu - \nu)
    """
    tril_q, tril_p = collapse_expanded(q.scale_tril, 2), collapse_expanded(p.scale_tril, 2)
    with own_precision(tril_q):
        tril = torch.linalg.cholesky(0.5 * (tril_q @ tril_q.mT + tril_p @ tril_p.mT))
    difference = (q.loc - p.loc).unsqueeze(-1)
    whitened = torch.linalg.solve_triangular(tril, difference, upper=False).squeeze(-1)
    diagonal, diagonal_q, diagonal_p = (t.diagonal(dim1=-2, dim2=-1) for t in (tril, tril_q, tril_p))
    log_dets = (diagonal / diagonal_q).log().sum(-1) + (diagonal / diagonal_p).log().sum(-1)
    return without_rounding(0.5 * log_dets + 0.25 * whitened.square().sum(-1))


@register_cauchy_schwarz(Independent, Independent)
def _independents(q: Independent, p: Independent) -> Tensor:
    """The divergence of products of independent factors: the sum of the factors' divergences."""
    num_dims = min(q.reinterpreted_batch_ndims, p.reinterpreted_batch_ndims)
    divergence = cauchy_schwarz(_without_dims(q, num_dims), _without_dims(p, num_dims))
    return divergence.flatten(-num_dims).sum(-1) if num_dims else divergence


def _without_dims(distribution: Independent, num_dims: int) -> Distribution:
    """The distribution of which ``num_dims`` fewer batch dimensions are counted as part of the event."""
    num_left = distribution.reinterpreted_batch_ndims - num_dims
    return Independent(distribution.base_dist, num_left) if num_left else distribution.base_dist


@register_cauchy_schwarz(GaussianMixture, GaussianMixture)
@register_cauchy_schwarz(GaussianMixture, Independent)
@register_cauchy_schwarz(GaussianMixture, MixtureSameFamily)
@register_cauchy_schwarz(MixtureSameFamily, MixtureSameFamily)
@register_cauchy_schwarz(MixtureSameFamily, Independent)
@register_cauchy_schwarz(MixtureSameFamily, Normal)
def _gaussian_mixtures(q: Distribution, p: Distribution) -> Tensor:
    """The formula at the head of this module."""
    components_q, components_p = gaussian_components(q), gaussian_components(p)
    if components_q is None or components_p is None:
        return NotImplemented
    a, b = (reweighted(components) for components in in_common_unit(components_q, components_p))
    return without_rounding(0.5 * (log_self_overlap(a) + log_self_overlap(b)) - log_overlap(a, b))


def in_common_unit(*mixtures: GaussianComponents) -> list[GaussianComponents]:
    r"""The same mixtures, each coordinate measured in a unit in which two scales have :math:`s^2 + t^2` near 1.

    The divergence does not depend on the unit; the logarithms of variances that it is a difference of do, and so do
    the digits that it loses.
    """
    log_scales = [m.scales.detach().log().flatten(0, -2).mean(0) for m in mixtures if m.scales.numel()]
    if not log_scales:
        return list(mixtures)
    inverse_unit = (-torch.stack(log_scales).mean(0)).exp() / math.sqrt(2)
    return [
        mixture._replace(locs=mixture.locs * inverse_unit, scales=mixture.scales * inverse_unit) for mixture in mixtures
    ]


def reweighted(mixture: GaussianComponents) -> GaussianComponents:
    """The normalised weights a_n in place of w_n."""
    log_weights = mixture.log_weights - 0.5 * mixture.scales.log().sum(-1)
    return mixture._replace(log_weights=log_weights.log_softmax(-1))


def log_overlap(q: GaussianComponents, p: GaussianComponents) -> Tensor:
    """log sum_nm a_n b_m exp(-D_nm); where one mixture is shared, the other's whole batch becomes rows."""
    if q.is_shared and not p.is_shared:
        q, p = p, q
    rows, columns = (_without_batch(q), _without_batch(p)) if p.is_shared else (q, p)
    num_rows, height = rows.locs.shape[-2], _block_height(rows, columns)
    log_sums = torch.cat(
        [_log_row_sums(_part(rows, start, start + height), columns) for start in range(0, max(num_rows, 1), height)],
        -1,
    )
    if p.is_shared:
        log_sums = log_sums.reshape(q.log_weights.shape)
    return torch.logsumexp(q.log_weights + log_sums, -1)


def log_self_overlap(mixture: GaussianComponents) -> Tensor:
    """log sum_nn' a_n a_n' exp(-D_nn'); blocks off the diagonal are computed once and count twice."""
    num_components, height = mixture.locs.shape[-2], _block_height(mixture, mixture)
    if num_components == 1:
        return mixture.log_weights.squeeze(-1)
    log_sums = []
    for start in range(0, num_components, height):
        rows, columns = _part(mixture, start, start + height), _part(mixture, start, num_components)
        twice = mixture.log_weights[..., start + height :] + math.log(2)
        columns = columns._replace(log_weights=torch.cat([rows.log_weights, twice], -1))
        log_sums.append(_log_row_sums(rows, columns))
    return torch.logsumexp(mixture.log_weights + torch.cat(log_sums, -1), -1)


def _log_row_sums(rows: GaussianComponents, columns: GaussianComponents) -> Tensor:
    """log sum_m b_m exp(-D_nm) for each row n."""
    return log_row_sums(columns.log_weights, rows.locs, rows.scales, columns.locs, columns.scales)


def _block_height(rows: GaussianComponents, columns: GaussianComponents) -> int:
    """How many rows of pairs, over the whole batch, make a block of at most MAX_BLOCK numbers."""
    batch_size = torch.broadcast_shapes(rows.batch_shape, columns.batch_shape).numel()
    return max(1, MAX_BLOCK // max(1, batch_size * columns.locs.shape[-2:].numel()))


def _part(mixture: GaussianComponents, start: int, stop: int) -> GaussianComponents:
    log_weights, locs, scales = mixture
    return GaussianComponents(log_weights[..., start:stop], locs[..., start:stop, :], scales[..., start:stop, :])


def _without_batch(mixture: GaussianComponents) -> GaussianComponents:
    num_dims = mixture.locs.shape[-1]
    return GaussianComponents(
        mixture.log_weights.reshape(-1),
        mixture.locs.reshape(-1, num_dims),
        mixture.scales.reshape(-1, num_dims),
    )
