"""Divergences of a whole batch: one number, expanded over the data so that Pyro's sum over them, divided, is it."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from pyro_mixvae.divergences import aggregate_kl, mmd
from pyro_mixvae.infer.gaussian_site import data_dim, mask_of, posterior_parameters
from pyro_mixvae.infer.processes import sum_over_processes
from pyro_mixvae.infer.site import Site
from pyro_mixvae.infer.site_divergence import SiteDivergence


class AggregateKL(SiteDivergence):
    r"""KL to N(0, I) of the Gaussian that has the moments of the whole batch of posteriors.

    .. math:: KL_G = \tfrac12 \sum_j \big( v_j + m_j^2 - 1 - \log v_j \big)

    One number for a batch, not one for each datum; data that are masked out do not enter, particles are kept apart.
    Under data-parallel training the batch is that of all processes together, gradients included. The guide's
    distribution must be a diagonal Gaussian; the model's is not looked at.

    Args:
        moments: ``"exact"`` (the default), ``"sampled"`` (the paper's) or ``"means"`` (its author's code, which is
            infinite for a batch of one).

    Source: Rivera, *How to train your VAE*; see :func:`~pyro_mixvae.divergences.aggregate_kl`.
    """

    def __init__(self, moments: Literal["exact", "sampled", "means"] = "exact") -> None:
        if moments not in ("exact", "sampled", "means"):
            raise ValueError(f'moments: expected "exact", "sampled" or "means", got {moments!r}')
        self.moments: Literal["exact", "sampled", "means"] = moments

    def __call__(self, site: Site) -> Tensor:
        dim = data_dim(site, self)
        loc, scale = posterior_parameters(site)
        value = site.value.expand(loc.shape[:-1] + site.q.event_shape).reshape(loc.shape)
        one = aggregate_kl(loc, scale, value, self.moments, mask_of(site), dim - 1, sum_over_processes)
        return one.unsqueeze(dim).expand(loc.shape[:-1])

    def __repr__(self) -> str:
        return f'AggregateKL("{self.moments}")'


class MMD(SiteDivergence):
    r"""The squared maximum mean discrepancy between the batch's codes and draws from the prior, for InfoVAE.

    One number for a batch, the biased V-statistic; data that are masked out do not enter, particles are kept apart.
    As many draws are taken from the model's distribution as there are codes.

    Args:
        kernel: ``"imq"``, the inverse multiquadratic, or ``"gaussian"``.
        bandwidth: the scale of the prior.

    Source: Zhao, Song, Ermon (2017); see :func:`~pyro_mixvae.divergences.mmd`.
    """

    def __init__(self, kernel: Literal["imq", "gaussian"] = "imq", bandwidth: float = 1.0) -> None:
        if kernel not in ("imq", "gaussian"):
            raise ValueError(f'kernel: expected "imq" or "gaussian", got {kernel!r}')
        if not 0 < bandwidth < float("inf"):
            raise ValueError(f"bandwidth: expected a finite number > 0, got {bandwidth}")
        self.kernel: Literal["imq", "gaussian"] = kernel
        self.bandwidth = bandwidth

    def __call__(self, site: Site) -> Tensor:
        dim = data_dim(site, self)
        prior = site.p.expand(site.plate_shape)
        # gradients reach a learned prior where its draws are reparameterised
        draws = prior.rsample() if prior.has_rsample else prior.sample()
        codes, draws = (_data_first(value, site, dim) for value in (site.value, draws))
        mask = mask_of(site)
        mask = mask if mask is None else mask.movedim(dim, -1)
        one = mmd(codes, draws, self.kernel, self.bandwidth, mask)
        return one.unsqueeze(-1).expand(codes.shape[:-1]).movedim(-1, dim)

    def __repr__(self) -> str:
        return f'MMD("{self.kernel}")'


def _data_first(value: Tensor, site: Site, dim: int) -> Tensor:
    """[plates, \\*event] -> [other plates, data, D]."""
    flat = value.expand(site.plate_shape + site.q.event_shape).reshape(*site.plate_shape, -1)
    return flat.movedim(dim - 1, -2)
