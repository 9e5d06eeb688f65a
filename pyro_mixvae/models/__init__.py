"""The papers' models: each a Pyro model/guide pair, without training code."""

from pyro_mixvae.models.base import MixtureVAE
from pyro_mixvae.models.gmvae import GMVAE

__all__ = ["GMVAE", "MixtureVAE"]
