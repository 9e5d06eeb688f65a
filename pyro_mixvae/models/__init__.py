"""The papers' models: each a Pyro model/guide pair, without training code."""

from pyro_mixvae.models.base import MixtureVAE
from pyro_mixvae.models.classifier import Classifier
from pyro_mixvae.models.csrae import CSRAE
from pyro_mixvae.models.factorial import FactorialMixtureVAE
from pyro_mixvae.models.gmvae import GMVAE
from pyro_mixvae.models.mixture_posterior_vae import MixturePosteriorVAE
from pyro_mixvae.models.mvae import MVAE
from pyro_mixvae.models.semi_supervised import SemiSupervisedCSRAE
from pyro_mixvae.models.vae import VAE

__all__ = [
    "CSRAE",
    "GMVAE",
    "MVAE",
    "VAE",
    "Classifier",
    "FactorialMixtureVAE",
    "MixturePosteriorVAE",
    "MixtureVAE",
    "SemiSupervisedCSRAE",
]
