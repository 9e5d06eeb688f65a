"""Objectives: how a model/guide pair is compared, site by site."""

from pyro_mixvae.infer.aggregate_posterior_elbo import AggregatePosterior_ELBO
from pyro_mixvae.infer.build import DivergenceSpec, build_divergence
from pyro_mixvae.infer.closed_forms import CauchySchwarz, IndividualKL
from pyro_mixvae.infer.compiled import CompiledObjective, compiled
from pyro_mixvae.infer.conjugate_elbo import (
    ConjugateKL,
    ExpectedCategoricalKL,
    ExpectedNormalKL,
    TraceConjugate_ELBO,
)
from pyro_mixvae.infer.conjugate_posterior import ConjugatePosterior
from pyro_mixvae.infer.conjugate_svi import ConjugateSVI, RobbinsMonro, natural_gradient_step, natural_step
from pyro_mixvae.infer.divergence_factor import divergence_factor
from pyro_mixvae.infer.elbo_module import DivergenceELBOModule
from pyro_mixvae.infer.free_bits import FreeBits
from pyro_mixvae.infer.importance_weighted_elbo import ImportanceWeightedELBO
from pyro_mixvae.infer.point_estimate import PointEstimate
from pyro_mixvae.infer.recording import CaptureError
from pyro_mixvae.infer.site import Site
from pyro_mixvae.infer.site_divergence import KL, SiteDivergence
from pyro_mixvae.infer.trace_divergence_elbo import TraceDivergence_ELBO
from pyro_mixvae.infer.update import Update
from pyro_mixvae.infer.whole_batch import MMD, AggregateKL

__all__ = [
    "KL",
    "MMD",
    "AggregateKL",
    "AggregatePosterior_ELBO",
    "CaptureError",
    "CauchySchwarz",
    "CompiledObjective",
    "ConjugateKL",
    "ConjugatePosterior",
    "ConjugateSVI",
    "DivergenceELBOModule",
    "DivergenceSpec",
    "ExpectedCategoricalKL",
    "ExpectedNormalKL",
    "FreeBits",
    "ImportanceWeightedELBO",
    "IndividualKL",
    "PointEstimate",
    "RobbinsMonro",
    "Site",
    "SiteDivergence",
    "TraceConjugate_ELBO",
    "TraceDivergence_ELBO",
    "Update",
    "build_divergence",
    "compiled",
    "divergence_factor",
    "natural_gradient_step",
    "natural_step",
]
