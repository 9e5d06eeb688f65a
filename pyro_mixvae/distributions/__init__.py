"""What a random variable is: the distributions that mixture models need and Pyro does not have."""

from __future__ import annotations

from pyro_mixvae.distributions.diagonal_normal import DiagonalNormal
from pyro_mixvae.distributions.discretized_logistic import DiscretizedLogistic
from pyro_mixvae.distributions.gaussian_mixture import GaussianMixture
from pyro_mixvae.distributions.mixing_weights import MixingWeights
from pyro_mixvae.distributions.normal_gamma import NormalGamma

__all__ = ["DiagonalNormal", "DiscretizedLogistic", "GaussianMixture", "MixingWeights", "NormalGamma"]
