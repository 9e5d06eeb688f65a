"""What a divergence is shown of one latent sample site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import torch
from pyro.distributions.distribution import Distribution
from pyro.distributions.torch_distribution import ExpandedDistribution, TorchDistributionMixin
from pyro.poutine import Trace
from torch import Tensor

#: The plate that a :class:`~pyro.infer.ELBO` with ``vectorize_particles`` puts around model and guide.
PARTICLES = "num_particles_vectorized"


@dataclass(frozen=True, eq=False)
class Site:
    """One latent sample site, as the guide and the model see it.

    Every :class:`~pyro_mixvae.infer.SiteDivergence` is called with a ``Site`` and returns a tensor that broadcasts
    to the site's batch shape, in nats.

    Attributes:
        name: the name of the ``pyro.sample`` site.
        q: the guide's distribution.
        p: the model's distribution, with the guide's values of the sites before it.
        value: the guide's draw.
        mask: boolean tensor that is False where the datum is left out, or None.
        data_dim: the (negative) batch dimension of the plate ``"data"``, or None.
        particle_dim: the (negative) batch dimension of vectorised particles, or None.
        model_trace: the model's trace, for divergences that need more than their own site.
        guide_trace: the guide's trace.
        plates: size of each vectorised plate around the site, by (negative) batch dimension.
    """

    name: str
    q: TorchDistributionMixin
    p: TorchDistributionMixin
    value: Tensor
    mask: Tensor | bool | None
    data_dim: int | None
    particle_dim: int | None
    model_trace: Trace
    guide_trace: Trace
    plates: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def from_traces(cls, name: str, model_trace: Trace, guide_trace: Trace, mask: Any = None) -> Site:
        """Read the site ``name`` from a pair of traces."""
        guide_node, model_node = guide_trace.nodes[name], model_trace.nodes[name]
        frames = [frame for frame in guide_node["cond_indep_stack"] if frame.vectorized]
        dims = {frame.name: frame.dim for frame in frames}
        others = [frame.dim for frame in frames if frame.name != PARTICLES]
        return cls(
            name=name,
            q=guide_node["fn"],
            p=model_node["fn"],
            value=guide_node["value"],
            mask=mask,
            data_dim=dims.get("data", others[0] if len(others) == 1 else None),
            particle_dim=dims.get(PARTICLES),
            model_trace=model_trace,
            guide_trace=guide_trace,
            plates={frame.dim: frame.size for frame in frames},
        )

    @property
    def plate_shape(self) -> torch.Size:
        """The site's batch shape without enumerated dimensions."""
        depth = -min(self.plates, default=0)
        return torch.Size(self.plates.get(dim, 1) for dim in range(-depth, 0))

    @property
    def ahead_in_guide(self) -> frozenset[str]:
        """The guide's sites that it draws before this one: what q may depend on."""
        return frozenset(takewhile(lambda name: name != self.name, _drawn(self.guide_trace)))

    @property
    def ahead_in_model(self) -> frozenset[str]:
        """The guide's sites that come before this one in the model: what p may depend on."""
        ahead = takewhile(lambda name: name != self.name, self.model_trace.nodes)
        return frozenset(_drawn(self.guide_trace)).intersection(ahead)

    @property
    def p_looks_ahead(self) -> bool:
        """Whether p may depend on a variable that the guide draws only after this site, and so on its value."""
        return not self.ahead_in_model <= self.ahead_in_guide

    def log_ratio(self) -> Tensor:
        """The sampled divergence ``log q(value) - log p(value)``; the ELBO lists the site as sampled."""
        list_as_sampled(self.guide_trace.nodes[self.name])
        return self.q.log_prob(self.value) - self.p.log_prob(self.value)


def list_as_sampled(guide_node: dict[str, Any]) -> None:
    """Have the ELBO list a site as sampled; where its values are enumerated, the mean of the log-ratio is exact."""
    infer = guide_node["infer"]
    guide_node["sampled"] = not infer.get("enumerate") or infer.get("num_samples") is not None


def _drawn(trace: Trace) -> list[str]:
    return [name for name, node in trace.nodes.items() if node["type"] == "sample"]


def score_function(fn: TorchDistributionMixin, value: Tensor) -> Tensor | int:
    """What a reparameterised draw leaves to the score-function estimator: 0 but for rejection samplers.

    Only a distribution with score parts of its own is asked: the answer costs the others a log-probability.
    """
    own = fn
    while isinstance(own, ExpandedDistribution):
        own = own.base_dist
    return 0 if type(own).score_parts is Distribution.score_parts else fn.score_parts(value).score_function
