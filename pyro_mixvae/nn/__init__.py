"""Networks, and how their outputs become distributions."""

from pyro_mixvae.nn.build import NetworkSpec, build_network
from pyro_mixvae.nn.conv import ConvDecoder, ConvEncoder
from pyro_mixvae.nn.heads import diagonal_normal, positive_scale
from pyro_mixvae.nn.likelihoods import Bernoulli, Likelihood, Normal, build_likelihood
from pyro_mixvae.nn.memo import Memo
from pyro_mixvae.nn.mlp import MLP
from pyro_mixvae.nn.select import select_component

__all__ = [
    "MLP",
    "Bernoulli",
    "ConvDecoder",
    "ConvEncoder",
    "Likelihood",
    "Memo",
    "NetworkSpec",
    "Normal",
    "build_likelihood",
    "build_network",
    "diagonal_normal",
    "positive_scale",
    "select_component",
]
