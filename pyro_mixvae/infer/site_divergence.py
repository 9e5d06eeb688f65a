"""Divergences of a site, and how they compose."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from pyro.distributions import Delta, Independent
from torch import Tensor
from torch.distributions import Categorical, Distribution, kl_divergence

from pyro_mixvae.infer.site import Site

__all__ = ["KL", "Scaled", "SiteDivergence", "Sum"]


class SiteDivergence:
    """How the guide's distribution at a site is compared with the model's.

    Wraps a plain function ``fn(q, p)`` that returns one number for each element of the batch shape. Subclasses that
    need more than the two distributions override :meth:`__call__`, which is shown the whole
    :class:`~pyro_mixvae.infer.Site`. Divergences add up with ``+`` and scale with ``number *``; the number may be a
    0-d tensor, which a schedule can move.

    Args:
        fn: takes the guide's and the model's distribution, returns a tensor that broadcasts to the batch shape.

    Example:
        >>> from torch.distributions import kl_divergence
        >>> reverse = SiteDivergence(lambda q, p: kl_divergence(p, q))
        >>> 0.5 * reverse + KL()
        0.5 * SiteDivergence(<lambda>) + KL()
    """

    def __init__(self, fn: Callable[[Distribution, Distribution], Tensor]) -> None:
        if not callable(fn):
            raise ValueError(f"fn: expected a function of two distributions, got {fn!r}")
        self.fn = fn

    def __call__(self, site: Site) -> Tensor:
        """The divergence at ``site``: broadcasts to its batch shape, in nats."""
        return self.fn(site.q, site.p)

    def between(self, q: Distribution, p: Distribution) -> Tensor:
        """The divergence of two distributions without a site around them.

        Raises:
            ValueError: for a divergence that needs more than the two, such as a whole batch's.
        """
        if not hasattr(self, "fn"):
            raise ValueError(f"divergence: {self!r} needs the whole site; use it in a TraceDivergence_ELBO")
        return self.fn(q, p)

    def __add__(self, other: SiteDivergence) -> SiteDivergence:
        if not isinstance(other, SiteDivergence):
            return NotImplemented
        return Sum(self, other)

    def __mul__(self, weight: float | Tensor) -> SiteDivergence:
        if not isinstance(weight, int | float | Tensor):
            return NotImplemented
        return Scaled(weight, self)

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return f"{type(self).__name__}({getattr(self.fn, '__name__', self.fn)})"


class Sum(SiteDivergence):
    """The sum of two divergences."""

    def __init__(self, first: SiteDivergence, second: SiteDivergence) -> None:
        self.first, self.second = first, second

    def __call__(self, site: Site) -> Tensor:
        return self.first(site) + self.second(site)

    def between(self, q: Distribution, p: Distribution) -> Tensor:
        return self.first.between(q, p) + self.second.between(q, p)

    def __repr__(self) -> str:
        return f"{self.first!r} + {self.second!r}"


class Scaled(SiteDivergence):
    """A divergence times a weight >= 0: a number, or a 0-d tensor that a schedule moves.

    Raises:
        ValueError: for a negative, non-finite or non-scalar weight.
    """

    def __init__(self, weight: float | Tensor, divergence: SiteDivergence) -> None:
        if isinstance(weight, Tensor) and weight.dim():
            raise ValueError(f"weight: expected a number or a 0-d tensor, got shape {tuple(weight.shape)}")
        number = weight.item() if isinstance(weight, Tensor) else weight
        if not (math.isfinite(number) and number >= 0):
            raise ValueError(f"weight: expected a finite number >= 0, got {number}")
        self.weight, self.divergence = weight, divergence

    def __call__(self, site: Site) -> Tensor:
        return self.weight * self.divergence(site)

    def between(self, q: Distribution, p: Distribution) -> Tensor:
        return self.weight * self.divergence.between(q, p)

    def __repr__(self) -> str:
        weight = self.weight.item() if isinstance(self.weight, Tensor) else self.weight
        inner = f"({self.divergence!r})" if isinstance(self.divergence, Sum) else repr(self.divergence)
        return f"{weight:g} * {inner}"


class KL(SiteDivergence):
    r"""The Kullback-Leibler divergence of the guide's distribution from the model's: the ELBO's own choice.

    .. math:: D(q, p) = \int q(z) \log \frac{q(z)}{p(z)} \, dz

    In closed form where :func:`torch.distributions.kl_divergence` has one for the pair, else the one-sample estimate
    :math:`\log q(z) - \log p(z)` at the guide's draw; the ELBO's ``sampled_sites`` names the sites that were sampled.
    The estimate is exact for a :class:`~pyro.distributions.Delta` (whose KL in Pyro leaves out its ``log_density``).
    """

    def __init__(self) -> None:
        super().__init__(_closed_form)

    def __call__(self, site: Site) -> Tensor:
        if _is_delta(site.q):
            return site.q.log_prob(site.value) - site.p.log_prob(site.value)
        try:
            return _closed_form(site.q, site.p)
        except NotImplementedError:
            return site.log_ratio()

    def __repr__(self) -> str:
        return "KL()"


class DefaultKL(KL):
    """The KL of a site that the user named no divergence for, which keeps the objective an evidence lower bound.

    Where p looks ahead, to a variable that the guide draws after the site, the closed form is not the ELBO's term:
    it averages log p over draws that the later variable knows nothing of. The sampled log-ratio is right.
    """

    def __call__(self, site: Site) -> Tensor:
        return site.log_ratio() if site.p_looks_ahead and not _is_delta(site.q) else super().__call__(site)


def _closed_form(q: Distribution, p: Distribution) -> Tensor:
    if isinstance(q, Categorical) and isinstance(p, Categorical):
        return _categoricals(q, p)
    return kl_divergence(q, p)


def _categoricals(q: Categorical, p: Categorical) -> Tensor:
    r""":math:`\sum_k q_k \log (q_k / p_k)` with :math:`0 \log 0 = 0`, also in the gradient, unlike torch's."""
    possible = q.probs > 0
    log_ratio = torch.where(possible, q.logits - p.logits, 0.0)
    return (q.probs * log_ratio.masked_fill(possible & (p.probs == 0), torch.inf)).sum(-1)


def _is_delta(q: Distribution) -> bool:
    while isinstance(q, Independent):
        q = q.base_dist
    return isinstance(q, Delta)
