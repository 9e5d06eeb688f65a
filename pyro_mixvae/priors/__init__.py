"""Prior modules p(z)."""

from pyro_mixvae.priors.build import PriorSpec, build_prior
from pyro_mixvae.priors.factorial_mixture import FactorialMixturePrior
from pyro_mixvae.priors.gaussian_mixture import GaussianMixturePrior
from pyro_mixvae.priors.standard_normal import StandardNormal
from pyro_mixvae.priors.vamp import VampPrior

__all__ = ["FactorialMixturePrior", "GaussianMixturePrior", "PriorSpec", "StandardNormal", "VampPrior", "build_prior"]
