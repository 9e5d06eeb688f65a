"""Objectives: how a model/guide pair is compared, site by site."""

from pyro_mixvae.infer.closed_forms import CauchySchwarz, IndividualKL
from pyro_mixvae.infer.divergence_factor import divergence_factor
from pyro_mixvae.infer.elbo_module import DivergenceELBOModule
from pyro_mixvae.infer.free_bits import FreeBits
from pyro_mixvae.infer.site import Site
from pyro_mixvae.infer.site_divergence import KL, SiteDivergence
from pyro_mixvae.infer.trace_divergence_elbo import TraceDivergence_ELBO
from pyro_mixvae.infer.whole_batch import MMD, AggregateKL

__all__ = [
    "KL",
    "MMD",
    "AggregateKL",
    "CauchySchwarz",
    "DivergenceELBOModule",
    "FreeBits",
    "IndividualKL",
    "Site",
    "SiteDivergence",
    "TraceDivergence_ELBO",
    "divergence_factor",
]
