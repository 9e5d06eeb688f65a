"""Divergences of a site, and how they compose."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor
from torch.distributions import Distribution, kl_divergence

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

    def __repr__(self) -> str:
        return f"{self.first!r} + {self.second!r}"


class Scaled(SiteDivergence):
    """A divergence times a weight >= 0: a number, or a 0-d tensor that a schedule moves.

    Raises:
        ValueError: for a negative, non-finite or non-scalar weight.
    """

    def __init__(self, weight: float | Tensor, divergence: SiteDivergence) -> None:
        if isinstance(weight, Tensor):
            if weight.dim():
                raise ValueError(f"weight: expected a number or a 0-d tensor, got shape {tuple(weight.shape)}")
        elif not (math.isfinite(weight) and weight >= 0):
            raise ValueError(f"weight: expected a finite number >= 0, got {weight}")
        self.weight, self.divergence = weight, divergence

    def __call__(self, site: Site) -> Tensor:
        return self.weight * self.divergence(site)

    def __repr__(self) -> str:
        weight = self.weight.item() if isinstance(self.weight, Tensor) else self.weight
        inner = f"({self.divergence!r})" if isinstance(self.divergence, Sum) else repr(self.divergence)
        return f"{weight:g} * {inner}"


class KL(SiteDivergence):
    r"""The Kullback-Leibler divergence of the guide's distribution from the model's: the ELBO's own choice.

    .. math:: D(q, p) = \int q(z) \log \frac{q(z)}{p(z)} \, dz

    In closed form where :func:`torch.distributions.kl_divergence` has one for the pair, else the one-sample estimate
    :math:`\log q(z) - \log p(z)` at the guide's draw; the ELBO's ``sampled_sites`` names the sites that were sampled.
    """

    def __init__(self) -> None:
        super().__init__(kl_divergence)

    def __call__(self, site: Site) -> Tensor:
        try:
            return kl_divergence(site.q, site.p)
        except NotImplementedError:
            return site.log_ratio()

    def __repr__(self) -> str:
        return "KL()"
