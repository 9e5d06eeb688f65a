"""Dropout of whole mixture components, at rates that are learned."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Self

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from pyro_mixvae.divergences import gaussian_dropout_kl

KINDS = ("none", "gaussian", "gumbel")
#: T of the relaxed Bernoulli masks.
TEMPERATURE = 0.1
#: A mask that is at least so great counts as a selected component.
THRESHOLDS = {"gaussian": 0.8, "gumbel": 0.1}
#: A component with a greater rate of its own is off.
OFF_RATE = 0.95
#: Masks are kept at least so great, and weights too, where they are divided by their sum.
MASK_FLOOR, WEIGHT_FLOOR = 1e-6, 1e-20


class ComponentDropout(nn.Module):
    r"""Masks m on the components' mixing weights, and the cost of drawing them.

    .. math::

        \text{gaussian: } & m \sim \mathcal{N}(1, \tau), \quad \tau = \frac{p}{1 - p} \\
        \text{gumbel: } & m \sim \mathrm{RelaxedBernoulli}(T = 0.1, P(\text{keep}) = 1 - p) \\
        b_i &= \frac{m_i w_i}{\sum_j m_j w_j}

    One rate p is shared by all components, or each has its own. Then a component with :math:`p_i > 0.95` is off: its
    mask is 0 and the quotient runs over the rest; the one with the smallest rate always stays on.

    Args:
        num_components: K.
        kind: ``"none"`` (all masks are 1), ``"gaussian"`` or ``"gumbel"``.
        per_component: a rate for each component.
        rate: p at the start. For one Gaussian rate in (0, 1/2], for one Gumbel rate in (0, 1), for rates of each
            component's own in (0, 0.95].
        learned: False: one rate, which stays where it starts.

    Raises:
        ValueError: for an unknown kind, rates of components without dropout, a rate outside its range, or one to be
            held where there is none or where each component has its own.

    Source: Ye and Bors, *Deep Mixture Generative Autoencoders*, equations 16, 18, 19 and 22 to 24 (22 corrected); rates
    of each component's own are ours.
    """

    logit: Tensor | None

    def __init__(
        self,
        num_components: int,
        kind: str = "none",
        per_component: bool = False,
        rate: float = 0.1,
        learned: bool = True,
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"dropout: expected one of {', '.join(KINDS)}, got {kind!r}")
        if per_component and kind == "none":
            raise ValueError("per_component: rates of each component's own need dropout 'gaussian' or 'gumbel'")
        if not learned and (kind == "none" or per_component):
            why = (
                "with per_component, whose rates are learned" if per_component else "without dropout, which has no rate"
            )
            raise ValueError(f"learn_dropout: expected True {why}, got False")
        self.num_components, self.kind, self.per_component = num_components, kind, per_component
        if kind == "none":
            self.logit = None
            return
        one_gaussian = kind == "gaussian" and not per_component
        top = 0.5 if one_gaussian else OFF_RATE if per_component else 1.0
        if not 0 < rate <= top or rate == 1:
            allowed = f"(0, {top:g}" + (")" if top == 1 else "]")
            raise ValueError(
                f"dropout_rate: expected a rate in {allowed} for dropout {kind!r} with "
                f"{'rates of its own for each component' if per_component else 'one rate'}, got {rate}"
            )
        share = min(2 * rate, 1 - 2**-20) if one_gaussian else rate
        start = math.log(share) - math.log1p(-share)
        logit = torch.full((num_components,) if per_component else (), start)
        if learned:
            self.logit = nn.Parameter(logit)
        else:
            self.register_buffer("logit", logit)

    @property
    def rates(self) -> Tensor:
        """p: 0-d, or [K] where each component has its own; 0 without dropout."""
        if self.logit is None:
            return torch.zeros(())
        rates = self.logit.sigmoid()
        return rates / 2 if self.kind == "gaussian" and not self.per_component else rates

    @property
    def variance(self) -> Tensor:
        """tau = p / (1 - p) of the Gaussian masks, in the shape of :attr:`rates`."""
        if self.per_component and self.logit is not None:
            return self.logit.exp()
        return self.rates / (1 - self.rates)

    @property
    def is_on(self) -> Tensor:
        """Which components take part: [K], boolean."""
        rates = self.rates.detach().expand(self.num_components)
        return (rates <= OFF_RATE) | (rates == rates.min()) if self.per_component else torch.ones_like(rates) > 0

    def distribution(self) -> dist.TorchDistribution:
        """p(m) = q(m): batch shape [], or [K, 1] where each component has a rate of its own.

        Raises:
            ValueError: without dropout.
        """
        if self.logit is None:
            raise ValueError("dropout: 'none' has no masks to draw")
        if self.kind == "gaussian":
            scale = self.variance.sqrt()
            return dist.Normal(1.0, scale.unsqueeze(-1) if self.per_component else scale)
        logits = -self.logit.unsqueeze(-1) if self.per_component else -self.logit
        return dist.RelaxedBernoulli(logits.new_tensor(TEMPERATURE), logits=logits)

    def weights(self, w: Tensor, masks: Tensor | None = None) -> Tensor:
        """b, the weights of the components that are kept: [\\*, K], summing to 1.

        Args:
            w: mixing weights, [\\*, K].
            masks: m, [\\*, K]; None: 1 for every component that is on, as in evaluation.
        """
        if self.logit is None:
            return w
        on = self.is_on.to(w.dtype)
        kept = w.clamp(min=WEIGHT_FLOOR) * (on if masks is None else masks.clamp(min=MASK_FLOOR) * on)
        return kept / kept.sum(-1, keepdim=True)

    def cost(self) -> Tensor:
        r"""R, in nats per datum, 0-d.

        .. math::

            \text{gaussian: } K \cdot KL(\tau) \text{ or } \sum_i KL(\tau_i), \qquad
            \text{gumbel: } -H(p) \text{ or } -\tfrac1K \sum_i H(p_i)
        """
        if self.logit is None:
            return torch.zeros(())
        if self.kind == "gumbel":
            # the cross-entropy of p with itself is its entropy
            return -binary_cross_entropy_with_logits(self.logit, self.rates)
        if self.per_component:
            return gaussian_dropout_kl(self.variance, "molchanov", validate_args=False).sum()
        return self.num_components * gaussian_dropout_kl(self.variance, "kingma", validate_args=False)

    def selected(self) -> float:
        """Selected K: how many components are on, or with one rate the expected number of masks above a threshold.

        The paper's thresholds are 0.8 for Gaussian and 0.1 for Gumbel masks. A Gaussian mask exceeds 0.8 with
        probability 0.579 or more whatever the rate, so that number cannot fall below 0.579 K.
        """
        if self.logit is None or self.per_component:
            return float(self.is_on.sum())
        threshold = THRESHOLDS[self.kind]
        if self.kind == "gaussian":
            above = torch.special.ndtr((1 - threshold) / self.variance.detach().sqrt())
        else:
            above = torch.sigmoid(-self.logit.detach() - TEMPERATURE * math.log(threshold / (1 - threshold)))
        return self.num_components * float(above)

    @torch.no_grad()
    def metrics(self) -> dict[str, float]:
        """Selected K and the rates by name, for the log; empty without dropout."""
        if self.logit is None:
            return {}
        rates = self.rates.tolist()
        named = {f"dropout_rate_{k}": rate for k, rate in enumerate(rates)} if self.per_component else {}
        return {"selected_components": self.selected(), **(named or {"dropout_rate": rates})}

    def select(self, components: Sequence[int]) -> Self:
        """A copy for these components only, in this order."""
        clone = copy.deepcopy(self)
        clone.num_components = len(components)
        if self.per_component and self.logit is not None:
            clone.logit = nn.Parameter(self.logit.detach()[list(components)].clone())
        return clone
