"""What a random variable is: the distributions that mixture models need and Pyro does not have."""

from __future__ import annotations

from pyro_mixvae.distributions.gaussian_mixture import GaussianMixture

__all__ = ["GaussianMixture"]
