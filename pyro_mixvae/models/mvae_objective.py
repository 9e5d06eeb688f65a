"""The MVAE's loss: an ELBO without the constant of its likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pyro.distributions.util import scale_and_mask
from pyro.poutine import Trace
from torch import Tensor

from pyro_mixvae.infer import TraceDivergence_ELBO
from pyro_mixvae.nn import Likelihood, Normal


class MixtureELBO(TraceDivergence_ELBO):
    r""":class:`~pyro_mixvae.infer.TraceDivergence_ELBO` of a likelihood :math:`\mathcal{N}(x', s^2)` with fixed s, as

    .. math:: \frac{1}{2 s^2} |x' - x|^2 + \ldots

    Stock ELBOs of the same pair are greater by :meth:`constant` for each datum; the gradients are equal.

    Args:
        dropped: what is left out, in nats per datum.
        num_particles: Monte Carlo draws that are averaged.
    """

    def __init__(self, dropped: float, num_particles: int = 1) -> None:
        super().__init__(num_particles=num_particles, max_plate_nesting=2)
        self.dropped = dropped

    def loss_and_terms(
        self,
        model: Callable[..., Any],
        guide: Callable[..., Any],
        *args: Any,
        per_datum: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """As the base class; the masks' site, whose log-ratio is masked out, has no term."""
        loss, terms = super().loss_and_terms(model, guide, *args, per_datum=per_datum, **kwargs)
        terms.pop("m", None)
        return loss, terms

    def _insert_divergences(self, model_trace: Trace, guide_trace: Trace) -> None:
        """Leave out the constant where Pyro keeps the log-probability, which masks and scales then apply to."""
        super()._insert_divergences(model_trace, guide_trace)
        node = model_trace.nodes["x"]
        log_prob = node["unscaled_log_prob"] = node["fn"].log_prob(node["value"]) + self.dropped
        node["log_prob"] = scale_and_mask(log_prob, node["scale"], node["mask"])


def constant(likelihood: Likelihood) -> float:
    r"""D (log s + 1/2 log 2 pi) of a Normal likelihood with fixed s, in nats per datum; 0 of any other.

    >>> round(constant(Normal((2, 3), scale=1.0)), 4)
    5.5136
    """
    if not isinstance(likelihood, Normal) or not isinstance(likelihood.scale, int | float):
        return 0.0
    return math.prod(likelihood.event_shape) * (math.log(likelihood.scale) + 0.5 * math.log(2 * math.pi))
