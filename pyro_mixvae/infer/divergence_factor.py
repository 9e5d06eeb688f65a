"""A divergence as a site of the guide, for stock objectives."""

from __future__ import annotations

from collections.abc import Callable

import pyro
from torch import Tensor
from torch.distributions import Distribution

from pyro_mixvae.infer.site_divergence import SiteDivergence


def divergence_factor(
    name: str,
    q: Distribution,
    p: Distribution,
    divergence: SiteDivergence | Callable[[Distribution, Distribution], Tensor],
    scale: float | Tensor = 1.0,
) -> None:
    r"""Write an auxiliary site with log-factor :math:`+\lambda D(q, p)`, **in the guide**.

    An ELBO subtracts the guide's terms, so it charges the divergence. With the latent site itself written under
    ``.mask(False)`` in model and guide, stock ``Trace_ELBO`` then optimises the same value and gradient as
    ``TraceDivergence_ELBO({"z": scale * divergence})``.

    Args:
        name: of the auxiliary site.
        q, p: the guide's and the prior's distribution of the latent site.
        divergence: such as ``CauchySchwarz()``, or a function of (q, p); its batch shape is the plates'.
        scale: :math:`\lambda \ge 0`.

    Raises:
        ValueError: for a divergence that needs more than the two distributions.

    Example:
        >>> import torch, pyro, pyro.distributions as dist
        >>> from pyro_mixvae.infer import CauchySchwarz
        >>> prior = dist.Normal(torch.zeros(2), torch.ones(2)).to_event(1)
        >>> def guide(x):
        ...     with pyro.plate("data", len(x)):
        ...         q = dist.Normal(x, torch.ones(2)).to_event(1)
        ...         pyro.sample("z", q.mask(False))
        ...         divergence_factor("z_divergence", q, prior, CauchySchwarz(), scale=0.5)
    """
    value = divergence.between(q, p) if isinstance(divergence, SiteDivergence) else divergence(q, p)
    pyro.factor(name, scale * value, has_rsample=True)
