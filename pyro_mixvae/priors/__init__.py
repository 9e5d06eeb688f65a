"""Prior modules p(z)."""

from pyro_mixvae.priors.standard_normal import StandardNormal

__all__ = ["StandardNormal"]
