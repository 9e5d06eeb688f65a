"""Objectives: how a model/guide pair is compared, site by site."""

from pyro_mixvae.infer.elbo_module import DivergenceELBOModule
from pyro_mixvae.infer.free_bits import FreeBits
from pyro_mixvae.infer.site import Site
from pyro_mixvae.infer.site_divergence import KL, SiteDivergence
from pyro_mixvae.infer.trace_divergence_elbo import TraceDivergence_ELBO

__all__ = ["KL", "DivergenceELBOModule", "FreeBits", "Site", "SiteDivergence", "TraceDivergence_ELBO"]
