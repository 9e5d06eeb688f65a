"""How far distributions lie apart: divergences, bounds, and measures of dependence.

Usable on its own::

    from pyro_mixvae.divergences import cauchy_schwarz
"""

from __future__ import annotations

from pyro_mixvae.divergences import cauchy_schwarz_gaussian  # noqa: F401  (registers the closed forms)
from pyro_mixvae.divergences.aggregate import aggregate_kl, individual_kl
from pyro_mixvae.divergences.cauchy_schwarz import cauchy_schwarz, register_cauchy_schwarz
from pyro_mixvae.divergences.cauchy_schwarz_factor import CauchySchwarzFactor
from pyro_mixvae.divergences.dhsic import DHSICTest, dhsic, dhsic_test
from pyro_mixvae.divergences.dropout import gaussian_dropout_kl
from pyro_mixvae.divergences.mixture_kl import MixtureKLBounds, mixture_kl_bounds
from pyro_mixvae.divergences.mmd import mmd

__all__ = [
    "CauchySchwarzFactor",
    "DHSICTest",
    "MixtureKLBounds",
    "aggregate_kl",
    "cauchy_schwarz",
    "dhsic",
    "dhsic_test",
    "gaussian_dropout_kl",
    "individual_kl",
    "mixture_kl_bounds",
    "mmd",
    "register_cauchy_schwarz",
]
