"""The Cauchy-Schwarz regularised autoencoder (Tran, Pantic, Deisenroth, 2021)."""

from __future__ import annotations

from typing import ClassVar

from pyro_mixvae.models.vae import VAE


class CSRAE(VAE):
    r"""A :class:`VAE` that the Cauchy-Schwarz divergence compares with its prior, in closed form for mixtures too.

    .. math:: \mathbb{E}_q \log p(x \mid z) - \lambda D_{CS}\big(q(z \mid x), p(z)\big)

    With a mixture prior it is the paper's Mixture-CSRAE. :math:`\lambda` is ``scale``; the objective is not a bound.

    Example:
        >>> CSRAE((4,), num_components=10, prior="gaussian-mixture", likelihood="normal", scale=0.5).objective()
        TraceDivergence_ELBO({'z': 0.5 * CauchySchwarz()}, num_particles=1)

    Source: Tran, Pantic, Deisenroth, *Cauchy-Schwarz Regularized Autoencoder*, equations 13 and 21 (corrected).
    """

    default_divergence: ClassVar[str] = "cauchy-schwarz"
