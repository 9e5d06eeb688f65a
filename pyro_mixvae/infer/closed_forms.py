"""Divergences of the papers that see one site's two distributions."""

from __future__ import annotations

from torch import Tensor

from pyro_mixvae.divergences import cauchy_schwarz
from pyro_mixvae.infer.gaussian_site import posterior_parameters
from pyro_mixvae.infer.site import Site
from pyro_mixvae.infer.site_divergence import SiteDivergence


class CauchySchwarz(SiteDivergence):
    r"""The Cauchy-Schwarz divergence, in closed form for Gaussians and their mixtures.

    .. math:: D_{CS}(q, p) = -\log \int q p + \tfrac12 \log \int q^2 + \tfrac12 \log \int p^2

    Args:
        num_samples: estimate it from so many draws where no closed form is registered; None: refuse.

    Raises:
        NotImplementedError: when called, where no closed form is registered and ``num_samples`` is None.

    Source: Tran, Pantic, Deisenroth, equations 5 and 21 (corrected); see
    :func:`~pyro_mixvae.divergences.cauchy_schwarz`.
    """

    def __init__(self, num_samples: int | None = None) -> None:
        super().__init__(lambda q, p: cauchy_schwarz(q, p, num_samples))
        self.num_samples = num_samples

    def __repr__(self) -> str:
        return "CauchySchwarz()" if self.num_samples is None else f"CauchySchwarz(num_samples={self.num_samples})"


class IndividualKL(SiteDivergence):
    r"""What KL to N(0, I) asks of each posterior's variances, its means left free.

    .. math:: \tfrac12 \sum_j \big( \sigma_j^2 - 1 - \log \sigma_j^2 \big)

    One number for each datum; its mean over the batch is the paper's :math:`KL_I`. The guide's distribution must be a
    diagonal Gaussian; the model's is not looked at.

    Source: Rivera, *How to train your VAE*, equation 21 (with its 1/2).
    """

    def __init__(self) -> None:
        pass

    def __call__(self, site: Site) -> Tensor:
        _, scale = posterior_parameters(site)
        variance = scale.square()
        return 0.5 * (variance - 1 - variance.log()).sum(-1)

    def __repr__(self) -> str:
        return "IndividualKL()"
