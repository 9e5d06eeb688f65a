"""Expectations over a conjugate posterior in closed form, as divergences of the sites that depend on it."""

from __future__ import annotations

import copy
import math

import pyro.distributions as dist
import torch
from pyro.distributions.util import scale_and_mask
from pyro.poutine import Trace
from torch import Tensor

from pyro_mixvae.distributions.expected_densities import expected_log_densities
from pyro_mixvae.infer.gaussian_site import posterior_parameters
from pyro_mixvae.infer.site import PARTICLES, Site
from pyro_mixvae.infer.site_divergence import SiteDivergence
from pyro_mixvae.infer.trace_divergence_elbo import TraceDivergence_ELBO


class ExpectedNormalKL(SiteDivergence):
    r"""The KL to an uncertain component of a Gaussian mixture, averaged over q(xi).

    .. math:: E_{q(\mu_k, \alpha_k)} KL\big(q(z) \,\|\, N(\mu_k, \operatorname{diag} \alpha_k^{-1})\big)

    At an observed site q is a point mass at the datum, and the value is -E log N(x; mu_k, 1/alpha_k).

    Args:
        components: the site of all means and precisions, drawn by :meth:`ConjugatePosterior.sample` in the guide.
        index: the site that says which component it is; enumerated, observed, or both.

    Source: Paquet, Ghaisas, Tieleman, equations 4b and 6, appendix C.2.
    """

    def __init__(self, components: str, index: str) -> None:
        self.components, self.index = components, index

    def __call__(self, site: Site) -> Tensor:
        statistics = site.guide_trace.nodes[self.components]["infer"]["expected_statistics"]
        if _is_point(site):
            value = site.value.reshape(*site.value.shape[: site.value.dim() - site.q.event_dim], -1)
            every, dtype = expected_log_densities(statistics, value), value.dtype
            negative_entropy = every.new_zeros(())
        else:
            loc, scale = posterior_parameters(site)
            every, dtype = expected_log_densities(statistics, loc, scale), loc.dtype
            negative_entropy = -(scale.double().log() + 0.5 * (1 + math.log(2 * math.pi))).sum(-1)
        return (negative_entropy - _taken(every, site.model_trace.nodes[self.index]["value"])).to(dtype)

    def __repr__(self) -> str:
        return f"ExpectedNormalKL({self.components!r}, {self.index!r})"


class ExpectedCategoricalKL(SiteDivergence):
    r"""The KL to a component's number under uncertain weights, averaged over q(xi).

    .. math:: \sum_k \gamma_k (\log \gamma_k - E \log \pi_k), \qquad 0 \log 0 = 0

    At an observed site it is -E log pi_y.

    Args:
        weights: the site of the weights, drawn by :meth:`ConjugatePosterior.sample` in the guide.

    Source: Paquet, Ghaisas, Tieleman, equation 4c, appendix C.3.
    """

    def __init__(self, weights: str) -> None:
        self.weights = weights

    def __call__(self, site: Site) -> Tensor:
        log_weights = site.guide_trace.nodes[self.weights]["infer"]["expected_statistics"]
        if _is_point(site):
            return -log_weights[site.value].to(site.p.logits.dtype)
        probs = site.q.probs.double()
        return (torch.xlogy(probs, probs) - probs * log_weights).sum(-1).to(site.q.logits.dtype)

    def __repr__(self) -> str:
        return f"ExpectedCategoricalKL({self.weights!r})"


class ConjugateKL(SiteDivergence):
    """KL(q(xi) || p(xi)) of a :class:`ConjugatePosterior`, in double precision.

    Source: Paquet, Ghaisas, Tieleman, equations 4d and 4e, appendix C.1 (corrected).
    """

    def __init__(self) -> None:
        pass

    def __call__(self, site: Site) -> Tensor:
        return site.guide_trace.nodes[site.name]["infer"]["posterior"].kl().to(site.value.dtype)

    def __repr__(self) -> str:
        return "ConjugateKL()"


class TraceConjugate_ELBO(TraceDivergence_ELBO):
    """A :class:`TraceDivergence_ELBO` whose divergences may also stand at observed sites.

    What a model expects of its data under q(xi) then needs no draw of xi:

    - a divergence named for an **observed** site replaces its negative log-probability; it is shown a point mass at
      the datum as q.
    - a divergence named for a **partly observed** site (one with an ``obs_mask``) is taken at both of the sites that
      Pyro makes of it. The guide draws the one called ``..._unobserved`` for all data, a point mass at the label where
      there is one: masked out, an enumerated site would count each of its values in full.

    Example:
        >>> TraceConjugate_ELBO({"x": ExpectedNormalKL("components", "r"), "r": ExpectedCategoricalKL("pi")})
        TraceConjugate_ELBO({'x': ExpectedNormalKL('components', 'r'), 'r': ExpectedCategoricalKL('pi')}, ...)
    """

    def _insert_divergences(self, model_trace: Trace, guide_trace: Trace) -> None:
        latent, observed, partly = {}, {}, []
        for name, divergence in self.divergences.items():
            if f"{name}_unobserved" in guide_trace:
                observed[f"{name}_observed"], latent[f"{name}_unobserved"] = divergence, divergence
                partly.append(f"{name}_unobserved")
            elif model_trace.nodes.get(name, {}).get("is_observed"):
                observed[name] = divergence
            else:
                latent[name] = divergence
        for name in partly:
            guide_trace.nodes[name]["mask"] = model_trace.nodes[name]["mask"]
        of_latent = copy.copy(self)
        of_latent.divergences = latent
        super(TraceConjugate_ELBO, of_latent)._insert_divergences(model_trace, guide_trace)
        for name in partly:
            # the guide's probabilities are weights of what depends on the site, for all data
            guide_trace.nodes[name]["mask"] = None
        for name, divergence in observed.items():
            node = model_trace.nodes[name]
            site = _observed_site(name, model_trace, guide_trace)
            value = divergence(site)
            value = value.expand(torch.broadcast_shapes(value.shape, site.plate_shape))
            node["unscaled_log_prob"] = -value
            node["log_prob"] = scale_and_mask(-value, node["scale"], node["mask"])


def _observed_site(name: str, model_trace: Trace, guide_trace: Trace) -> Site:
    """An observed site as the divergences see it, its q a point mass."""
    node = model_trace.nodes[name]
    frames = [frame for frame in node["cond_indep_stack"] if frame.vectorized]
    dims = {frame.name: frame.dim for frame in frames}
    return Site(
        name=name,
        q=dist.Delta(node["value"], event_dim=node["fn"].event_dim),
        p=node["fn"],
        value=node["value"],
        mask=node["mask"],
        data_dim=dims.get("data"),
        particle_dim=dims.get(PARTICLES),
        model_trace=model_trace,
        guide_trace=guide_trace,
        plates={frame.dim: frame.size for frame in frames},
    )


def _is_point(site: Site) -> bool:
    return isinstance(site.q, dist.Delta)


def _taken(values: Tensor, index: Tensor) -> Tensor:
    """values[..., index], [\\*, K] -> [\\*], or [K, 1, ..., \\*] where all numbers are enumerated in their order."""
    plates = values.dim() - 1
    # of a single datum, K draws look like all K numbers
    of_several_data = values.numel() > values.shape[-1]
    if of_several_data and index.dim() > plates and index.shape[0] == index.numel() == values.shape[-1]:
        front = values.movedim(-1, 0)
        return front.reshape(front.shape[:1] + (1,) * (index.dim() - 1 - plates) + front.shape[1:])
    shape = torch.broadcast_shapes(index.shape, values.shape[:-1])
    every = values.expand(*shape, values.shape[-1])
    return every.gather(-1, index.expand(shape).unsqueeze(-1)).squeeze(-1)
