"""Networks, and how their outputs become distributions."""

from pyro_mixvae.nn.build import NetworkSpec, build_network, start_by_glorot
from pyro_mixvae.nn.conv import ConvDecoder, ConvEncoder
from pyro_mixvae.nn.gated import GatedLinear
from pyro_mixvae.nn.heads import diagonal_normal, positive_scale, unconstrained_scale
from pyro_mixvae.nn.likelihood import Likelihood
from pyro_mixvae.nn.likelihoods import (
    Bernoulli,
    ContinuousBernoulli,
    DiscretizedLogistic,
    Laplace,
    Normal,
    build_likelihood,
)
from pyro_mixvae.nn.memo import Memo
from pyro_mixvae.nn.mlp import MLP
from pyro_mixvae.nn.patchgan import PatchGAN, statistics_untouched
from pyro_mixvae.nn.residual import ResidualBlock
from pyro_mixvae.nn.resnet import ResNetDecoder, ResNetEncoder
from pyro_mixvae.nn.select import select_component

__all__ = [
    "MLP",
    "Bernoulli",
    "ContinuousBernoulli",
    "ConvDecoder",
    "ConvEncoder",
    "DiscretizedLogistic",
    "GatedLinear",
    "Laplace",
    "Likelihood",
    "Memo",
    "NetworkSpec",
    "Normal",
    "PatchGAN",
    "ResNetDecoder",
    "ResNetEncoder",
    "ResidualBlock",
    "build_likelihood",
    "build_network",
    "diagonal_normal",
    "positive_scale",
    "select_component",
    "start_by_glorot",
    "statistics_untouched",
    "unconstrained_scale",
]
