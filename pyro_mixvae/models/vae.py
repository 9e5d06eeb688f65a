"""The variational autoencoder with its three choices: prior, divergence and likelihood."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import pyro_method
from torch import Tensor

from pyro_mixvae.distributions import GaussianMixture
from pyro_mixvae.distributions.precision import as_precise
from pyro_mixvae.infer import DivergenceSpec, ImportanceWeightedELBO, TraceDivergence_ELBO, build_divergence
from pyro_mixvae.models.base import MixtureVAE, evaluating
from pyro_mixvae.nn import NetworkSpec, diagonal_normal
from pyro_mixvae.priors import PriorSpec, VampPrior, build_prior


class VAE(MixtureVAE):
    r"""A variational autoencoder: what p(z) is, how q(z | x) is compared with it, and what p(x | z) is.

    .. math::

        z \sim p(z), \quad x \mid z \sim p(x \mid z), \qquad
        q(z \mid x) = \mathcal{N}\big(\mu(x), \operatorname{diag} \sigma^2(x)\big)

    The objective, maximised, is

    .. math:: \mathbb{E}_q \log p(x \mid z) - \lambda D\big(q(z \mid x), p(z)\big)

    ============================  ======================  ==================================================
    prior                         divergence              what it is
    ============================  ======================  ==================================================
    ``"standard-normal"``         ``"kl"``                VAE; beta-VAE where ``scale`` is beta
    ``"standard-normal"``         ``"kl"``                IWAE with ``importance_samples``
    ``"vamp"``                    ``"kl"``                VampPrior-VAE
    ``"standard-normal"``         ``"info-vae"``          InfoVAE
    ``"standard-normal"``         ``"cauchy-schwarz"``    CSRAE, see :class:`~pyro_mixvae.models.CSRAE`
    ``"gaussian-mixture"``        ``"cauchy-schwarz"``    Mixture-CSRAE, also with ``"vamp"``
    ============================  ======================  ==================================================

    Args:
        event_shape: shape of one datum.
        latent_dim: dimension of z.
        num_components: K, for a mixture prior.
        likelihood: ``"bernoulli"`` (any value in [0, 1]), ``"continuous-bernoulli"``, ``"normal"``, ``"laplace"``,
            ``"discretized-logistic"``, or a mapping with options.
        prior: ``"standard-normal"``, ``"gaussian-mixture"``, ``"vamp"``, a mapping with options such as ``{"name":
            "gaussian-mixture", "network": True}``, or a module that returns the distribution.
        divergence: ``"kl"`` (the default), ``"cauchy-schwarz"``, ``"info-vae"``, a mapping with options, or a
            :class:`~pyro_mixvae.infer.SiteDivergence`.
        scale: the divergence's weight, lambda or beta.
        encoder: network [\*event_shape] -> [2 latent_dim], by description or as a module.
        decoder: network [latent_dim] -> the likelihood's parameters.
        num_particles: Monte Carlo samples of the objective.
        importance_samples: train the importance-weighted bound of so many samples instead, which has no divergence of
            its own.
        estimator: of that bound's gradient, ``"standard"`` or ``"dreg"``.

    Raises:
        ValueError: for sizes below 1, an unknown choice, or importance samples beside another divergence than the KL.

    Example:
        >>> model = VAE((1, 8, 8), latent_dim=2, num_components=3, prior="gaussian-mixture")
        >>> x = torch.rand(5, 1, 8, 8)
        >>> model.responsibilities(x).shape
        torch.Size([5, 3])
        >>> list(model.terms(x))
        ['reconstruction', 'divergence']

    Source: Kingma, Welling (2014); Tran, Pantic, Deisenroth, *Cauchy-Schwarz Regularized Autoencoder*, and the
    comparison models of its tables.
    """

    term_names: ClassVar[Mapping[str, str]] = {"x": "reconstruction", "z": "divergence"}
    #: The divergence where none is named.
    default_divergence: ClassVar[str] = "kl"
    objective_options: ClassVar[tuple[str, ...]] = (
        "divergence", "scale", "num_particles", "importance_samples", "estimator",
    )  # fmt: skip

    def __init__(
        self,
        event_shape: Sequence[int],
        latent_dim: int = 20,
        num_components: int | None = None,
        likelihood: str | Mapping[str, Any] = "bernoulli",
        prior: PriorSpec = "standard-normal",
        divergence: DivergenceSpec | None = None,
        scale: float = 1.0,
        encoder: NetworkSpec = {"kind": "mlp", "hidden_dims": [300, 300]},  # noqa: B006 (never changed)
        decoder: NetworkSpec = {"kind": "mlp", "hidden_dims": [300, 300]},  # noqa: B006
        num_particles: int = 1,
        importance_samples: int | None = None,
        estimator: str = "standard",
    ) -> None:
        super().__init__(event_shape, likelihood)
        for name, size in {"latent_dim": latent_dim, "num_particles": num_particles}.items():
            if size < 1:
                raise ValueError(f"{name}: expected an integer >= 1, got {size}")
        if not 0 <= scale < math.inf:
            raise ValueError(f"scale: expected a finite number >= 0, got {scale}")
        divergence = self.default_divergence if divergence is None else divergence
        if importance_samples is not None and not (divergence == "kl" and scale == 1 and num_particles == 1):
            raise ValueError(
                "importance_samples: the importance-weighted bound needs divergence 'kl', scale 1 and num_particles 1, "
                f"got {divergence!r}, {scale:g} and {num_particles}"
            )
        self.latent_dim, self.num_particles = latent_dim, num_particles
        self.divergence, self.scale = divergence, scale
        self.importance_samples, self.estimator = importance_samples, estimator

        self.encoder = self._network("encoder", encoder, self.event_shape, (2 * latent_dim,))
        self.decoder = self._network("decoder", decoder, (latent_dim,), self.observation.raw_shape)
        low, high = self.observation.low, self.observation.high
        self.prior = build_prior(prior, latent_dim, self.event_shape, num_components, low, high)
        self.num_components: int | None = getattr(self.prior, "num_components", None)
        if not isinstance(prior, torch.nn.Module):
            self.network_specs["prior"] = prior
        self.objective()  # an unknown divergence or estimator is refused here

    # --- the pair ----------------------------------------------------------------------------------------------------

    @pyro_method
    def model(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """p(z) p(x | z) for data [B, \\*event_shape]; labels are not used."""
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", self.latent_prior())
            return pyro.sample("x", self.decode(z), obs=x)

    @pyro_method
    def guide(self, x: Tensor, y: Tensor | None = None) -> None:
        """q(z | x)."""
        posterior = self.encode(x)
        with pyro.plate("data", len(x)):
            pyro.sample("z", posterior)

    def objective(self) -> TraceDivergence_ELBO | ImportanceWeightedELBO:
        """Reconstruction less the weighted divergence, or the importance-weighted bound."""
        return self._objective(self.scale)

    def validation_objective(self) -> TraceDivergence_ELBO | ImportanceWeightedELBO:
        """What models of different scales are compared by on held-out data: the objective at scale 1."""
        return self._objective(1.0)

    def _objective(self, scale: float) -> TraceDivergence_ELBO | ImportanceWeightedELBO:
        if self.importance_samples is not None:
            return ImportanceWeightedELBO(self.importance_samples, self.estimator, max_plate_nesting=1)
        divergence = build_divergence(self.divergence)
        return TraceDivergence_ELBO(
            {"z": divergence if scale == 1 else scale * divergence},
            num_particles=self.num_particles,
            max_plate_nesting=1,
        )

    # --- its parts ---------------------------------------------------------------------------------------------------

    # networks may compute in half precision; densities, logarithms and sums are in the data's own type

    def encode(self, x: Tensor) -> dist.Independent:
        """q(z | x): batch shape [B], event shape [latent_dim], for data [B, \\*event_shape]."""
        return diagonal_normal(as_precise(self.encoder(x), x))

    def decode(self, z: Tensor) -> dist.TorchDistribution:
        """p(x | z): batch shape [\\*], event shape ``event_shape``, for z [\\*, latent_dim]."""
        return self.observation(self.decoder(z).to(z.dtype))

    def latent_prior(self) -> dist.TorchDistribution:
        """p(z): batch shape [], event shape [latent_dim]."""
        return self.prior(self.encode) if getattr(self.prior, "needs_encoder", False) else self.prior()

    def _mixture(self) -> GaussianMixture:
        prior = self.latent_prior()
        if not isinstance(prior, GaussianMixture):
            raise ValueError(f"prior: expected a mixture, which has components; {prior} has none")
        return prior

    def _check_component(self, component: int) -> None:
        if self.num_components is None:
            raise ValueError(f"component: expected None, the prior has no components, got {component}")
        if not 0 <= component < self.num_components:
            raise ValueError(f"component: expected 0..{self.num_components - 1}, got {component}")

    # --- what one does with it ---------------------------------------------------------------------------------------

    def start_from_data(self, x: Tensor) -> None:
        """Let a VampPrior that was asked to (``"start": "data"``) start at some of the data [N, \\*event_shape]."""
        if isinstance(self.prior, VampPrior) and self.prior.start == "data":
            self.prior.start_at(x)

    @evaluating
    def responsibilities(self, x: Tensor, num_samples: int | None = None) -> Tensor:
        """p(component | z) under a mixture prior, at the posterior mean of z or averaged over draws: [B, K].

        Args:
            x: data, [B, \\*event_shape].
            num_samples: how many draws to average over; None: the posterior mean.

        Raises:
            ValueError: for a prior that is no mixture, or ``num_samples`` below 1.
        """
        log_responsibilities: Tensor = self.log_responsibilities(x, num_samples)
        return log_responsibilities.softmax(-1)

    @evaluating
    def log_responsibilities(self, x: Tensor, num_samples: int | None = None) -> Tensor:
        """The logarithm of :meth:`responsibilities`: [B, K], in nats.

        Responsibilities near 1 do not round to equals here, so it is these that the most-confident rule
        (:func:`~pyro_mixvae.metrics.clustering_accuracy`) should see, and that evaluation scores: a subclass with
        responsibilities of its own has these as well.

        Args:
            x: data, [B, \\*event_shape].
            num_samples: how many draws to average over; None: the posterior mean.

        Raises:
            ValueError: for a prior that is no mixture, or ``num_samples`` below 1.
        """
        self.observation.check(x)
        if num_samples is not None and num_samples < 1:
            raise ValueError(f"num_samples: expected an integer >= 1, got {num_samples}")
        posterior, mixture = self.encode(x), self._mixture()
        if num_samples is None:
            return mixture.log_responsibilities(posterior.mean)
        draws = mixture.log_responsibilities(posterior.sample((num_samples,)))
        return draws.logsumexp(0) - math.log(num_samples)

    @evaluating
    def reconstruct(self, x: Tensor) -> Tensor:
        """The mean of p(x | z) at the posterior mean of z: [B, \\*event_shape]."""
        self.observation.check(x)
        return self.decode(self.encode(x).mean).mean

    @evaluating
    def sample(self, n: int, component: int | None = None) -> Tensor:
        """The decoder's mean at draws from the prior: [n, \\*event_shape].

        Args:
            n: how many.
            component: draw from this component of a mixture prior only, 0..K-1; None: from the whole prior.

        Raises:
            ValueError: for n below 1, or a component that there is not.
        """
        if n < 1:
            raise ValueError(f"n: expected an integer >= 1, got {n}")
        prior: Any = self.latent_prior()
        if component is not None:
            self._check_component(component)
            prior = prior.component(component)
        return self.decode(prior.sample((n,))).mean

    def log_weights(self, x: Tensor, num_samples: int) -> Tensor:
        """log p(x | z) + log p(z) - log q(z | x) at the guide's draws: [num_samples, B]."""
        posterior = self.encode(x)
        z = posterior.rsample((num_samples,))
        return self.decode(z).log_prob(x) + self.latent_prior().log_prob(z) - posterior.log_prob(z)
