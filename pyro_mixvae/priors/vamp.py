"""The variational mixture of posteriors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Self

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyro_mixvae.distributions import GaussianMixture
from pyro_mixvae.priors.keep import keep


class VampPrior(nn.Module):
    r"""p(z), the mixture of the encoder's posteriors at K learned pseudo-inputs.

    .. math:: p(z) = \sum_{k=1}^K \pi_k \, q(z \mid u_k)

    The module holds the pseudo-inputs only and is called with the encoder. A pseudo-input is a parameter clamped to
    the data's range: it can start at data, the ends of the range included, and never leaves the range; a value that
    is pushed beyond an end stays there.

    Args:
        num_components: K.
        event_shape: shape of one datum.
        low, high: the data's range; infinite where there is none.
        learn_weights: learn the weights :math:`\pi_k`; else they are 1/K.
        start: where pseudo-inputs start: ``"noise"``, uniform in the range (standard normal where it is infinite), or
            ``"data"``: the same, until :meth:`start_at` is called, as the command line does before it trains.

    Raises:
        ValueError: for sizes below 1, an empty range, or an unknown start.

    Example:
        >>> from pyro_mixvae.nn import MLP, diagonal_normal
        >>> network = MLP((1, 8, 8), (4,), hidden_dims=[16])
        >>> prior = VampPrior(5, event_shape=(1, 8, 8))
        >>> prior(lambda x: diagonal_normal(network(x)))
        GaussianMixture(num_components: 5, batch_shape: (), event_shape: (2,))

    Source: Tomczak, Welling (2018); Cauchy-Schwarz paper, section 3.2.
    """

    logits: Tensor

    #: A model calls such a prior with its encoder.
    needs_encoder = True

    def __init__(
        self,
        num_components: int,
        event_shape: Sequence[int],
        low: float = 0.0,
        high: float = 1.0,
        learn_weights: bool = False,
        start: str = "noise",
    ) -> None:
        super().__init__()
        if num_components < 1:
            raise ValueError(f"num_components: expected an integer >= 1, got {num_components}")
        if not event_shape or min(event_shape) < 1:
            raise ValueError(f"event_shape: expected sizes >= 1, got {tuple(event_shape)}")
        if not low < high:
            raise ValueError(f"low: expected low < high, got low = {low} and high = {high}")
        if start not in ("noise", "data"):
            raise ValueError(f'start: expected "noise" or "data", got {start!r}')
        self.num_components, self.event_shape = num_components, tuple(event_shape)
        self.low, self.high, self.start = low, high, start
        keep(self, "logits", torch.zeros(num_components), learn_weights)
        shape = (num_components, *event_shape)
        bounded = math.isfinite(high - low)
        self.inputs = nn.Parameter(torch.empty(shape).uniform_(low, high) if bounded else torch.randn(shape))

    @classmethod
    def from_data(cls, x: Tensor, num_components: int | None = None, **options: Any) -> Self:
        """A prior whose pseudo-inputs start at data.

        Args:
            x: data, [N, \\*event_shape].
            num_components: K <= N, drawn without replacement; None: all N, in their order.
            options: ``low``, ``high`` and ``learn_weights``.

        Raises:
            ValueError: for more components than data, or data outside the range.
        """
        prior = cls(len(x) if num_components is None else num_components, x.shape[1:], **options)
        return prior.start_at(x)

    @torch.no_grad()
    def start_at(self, x: Tensor) -> Self:
        """Move the pseudo-inputs to K of the data, drawn without replacement (all of them in order if there are K).

        Args:
            x: data, [N, \\*event_shape], N >= K.

        Raises:
            ValueError: for data of another shape, fewer data than components, or data outside the range.
        """
        if x.shape[1:] != self.event_shape:
            expected = ", ".join(map(str, self.event_shape))
            raise ValueError(f"x: expected shape [N, {expected}], got {list(x.shape)}")
        if len(x) < self.num_components:
            raise ValueError(
                f"num_components: a VampPrior started from data needs at most as many as there are data, {len(x)}, got "
                f"{self.num_components}"
            )
        if not (x.min() >= self.low and x.max() <= self.high):
            raise ValueError(
                f"x: expected values in [{self.low:g}, {self.high:g}], got values in [{x.min():g}, {x.max():g}]"
            )
        everything = len(x) == self.num_components
        rows = torch.arange(len(x)) if everything else torch.randperm(len(x))[: self.num_components]
        self.inputs.copy_(x[rows.to(x.device)])
        return self

    @property
    def pseudo_inputs(self) -> Tensor:
        """The data that the encoder is shown: [K, \\*event_shape], in [low, high]."""
        return self.inputs.clamp(self.low, self.high)

    def forward(self, encoder: Callable[[Tensor], dist.TorchDistribution]) -> GaussianMixture:
        """The mixture: batch shape [], event shape [dim].

        Args:
            encoder: from data [K, \\*event_shape] to q(z | x), ``Normal(...).to_event(1)``.
        """
        posterior = encoder(self.pseudo_inputs)
        normal = posterior.base_dist
        return GaussianMixture(self.logits, normal.loc, normal.scale, validate_args=False)
