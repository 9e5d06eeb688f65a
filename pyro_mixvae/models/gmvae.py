"""The Gaussian mixture variational autoencoder (Dilokthanakul et al., 2017)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import pyro_method
from torch import Tensor

from pyro_mixvae.distributions import DiagonalNormal, GaussianMixture
from pyro_mixvae.distributions.precision import as_precise
from pyro_mixvae.infer import KL, FreeBits, SiteDivergence, TraceDivergence_ELBO
from pyro_mixvae.models.base import MixtureVAE, evaluating
from pyro_mixvae.nn import Memo, NetworkSpec, diagonal_normal, positive_scale, select_component
from pyro_mixvae.priors import StandardNormal


class GMVAE(MixtureVAE):
    r"""A VAE whose latent prior is a Gaussian mixture that itself depends on a style variable w.

    .. math::

        w \sim \mathcal{N}(0, I), \quad c \sim \mathrm{Cat}(1/K), \quad
        z \mid w, c \sim \mathcal{N}\big(\mu_c(w), \operatorname{diag} \sigma_c^2(w)\big), \quad x \mid z \sim p(x
        \mid z)

    The guide is :math:`q(z \mid x) \, q(w \mid x) \, q(c \mid z, w)`, where the last factor is the model's exact
    posterior

    .. math:: q(c = k \mid z, w) \propto \pi_k \, \mathcal{N}\big(z; \mu_k(w), \operatorname{diag} \sigma_k^2(w)\big)

    Sites: data ``x``, latent ``z``, style ``w``, component ``c`` (the paper's y, x, w, z).

    Args:
        event_shape: shape of one datum.
        latent_dim: dimension of z.
        num_components: K.
        style_dim: dimension of w.
        likelihood: ``"bernoulli"`` (any value in [0, 1]), ``"normal"``, or a mapping with options.
        encoder: network [\*event_shape] -> [2 (latent_dim + style_dim)], by description or as a module.
        decoder: network [latent_dim] -> the likelihood's parameters.
        prior_network: network [style_dim] -> [2, K, latent_dim], the components' means and unconstrained scales.
        c_prior_floor: lambda of the minimum-information constraint on the c-prior term, in nats; ``"log K"`` switches
            that term off altogether; 0 is the plain objective.
        num_particles: M, the Monte Carlo samples of the objective.
        input_noise: standard deviation of Gaussian noise added to the encoder's input in training.
        enumerate_in: ``"guide"`` (the paper's objective needs it) or ``"model"`` (for Pyro's ``TraceEnum_ELBO``; the
            same value and gradient there).

    Raises:
        ValueError: for sizes below 1, a negative floor, noise or number of particles, or an unknown choice.

    Example:
        >>> model = GMVAE((1, 8, 8), latent_dim=2, num_components=3, style_dim=2)
        >>> x = torch.rand(5, 1, 8, 8)
        >>> model.responsibilities(x).shape
        torch.Size([5, 3])
        >>> sorted(model.terms(x))
        ['c_prior', 'conditional_prior', 'reconstruction', 'w_prior']

    Source: equations 1 to 7 of the GMVAE paper.
    """

    term_names: ClassVar[Mapping[str, str]] = {
        "x": "reconstruction",
        "z": "conditional_prior",
        "w": "w_prior",
        "c": "c_prior",
    }
    objective_options: ClassVar[tuple[str, ...]] = ("c_prior_floor", "num_particles")

    def __init__(
        self,
        event_shape: Sequence[int],
        latent_dim: int = 10,
        num_components: int = 10,
        style_dim: int = 10,
        likelihood: str | Mapping[str, Any] = "bernoulli",
        encoder: NetworkSpec = {"kind": "mlp", "hidden_dims": [500, 500]},  # noqa: B006 (never changed)
        decoder: NetworkSpec = {"kind": "mlp", "hidden_dims": [500, 500]},  # noqa: B006
        prior_network: NetworkSpec = {"kind": "mlp", "hidden_dims": [500], "activation": "tanh"},  # noqa: B006
        c_prior_floor: float | str = 0.0,
        num_particles: int = 1,
        input_noise: float = 0.0,
        enumerate_in: str = "guide",
    ) -> None:
        super().__init__(event_shape, likelihood)
        for name, size in {
            "latent_dim": latent_dim,
            "num_components": num_components,
            "style_dim": style_dim,
            "num_particles": num_particles,
        }.items():
            if size < 1:
                raise ValueError(f"{name}: expected an integer >= 1, got {size}")
        if isinstance(c_prior_floor, str) and c_prior_floor != "log K":
            raise ValueError(f'c_prior_floor: expected nats >= 0 or "log K", got {c_prior_floor!r}')
        if not isinstance(c_prior_floor, str) and not 0 <= c_prior_floor < math.inf:
            raise ValueError(f'c_prior_floor: expected nats >= 0 or "log K", got {c_prior_floor}')
        if not 0 <= input_noise < math.inf:
            raise ValueError(f"input_noise: expected a finite number >= 0, got {input_noise}")
        if enumerate_in not in ("guide", "model"):
            raise ValueError(f'enumerate_in: expected "guide" or "model", got {enumerate_in!r}')
        self.latent_dim, self.num_components, self.style_dim = latent_dim, num_components, style_dim
        self.c_prior_floor, self.num_particles = c_prior_floor, num_particles
        self.input_noise, self.enumerate_in = input_noise, enumerate_in

        self.encoder = self._network("encoder", encoder, self.event_shape, (2 * (latent_dim + style_dim),))
        self.decoder = self._network("decoder", decoder, (latent_dim,), self.observation.raw_shape)
        components_shape = (2, num_components, latent_dim)
        self.prior_network = self._network("prior_network", prior_network, (style_dim,), components_shape)
        self.w_prior = StandardNormal(style_dim)
        self._memo = Memo()

    # --- the pair ----------------------------------------------------------------------------------------------------

    @pyro_method
    def model(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """p(w) p(c) p(z | w, c) p(x | z) for data [B, \\*event_shape]; labels are not used."""
        with pyro.plate("data", len(x)):
            w = pyro.sample("w", self.w_prior())
            mixture = self._memo.recall(self.prior_network, w, self.components)
            c = pyro.sample("c", dist.Categorical(logits=mixture.logits), infer={"enumerate": "parallel"})
            z = pyro.sample("z", select_component(mixture, c))
            return pyro.sample("x", self.decode(z), obs=x)

    @pyro_method
    def guide(self, x: Tensor, y: Tensor | None = None) -> None:
        """q(w | x) q(z | x) q(c | z, w); with ``enumerate_in="model"`` without c."""
        posterior = self.encode(self._noisy(x))
        with pyro.plate("data", len(x)):
            w = pyro.sample("w", posterior["w"])
            z = pyro.sample("z", posterior["z"])
            if self.enumerate_in == "guide":
                mixture = self._memo.remember(self.prior_network, w, self.components)
                logits = _joint_log_prob(mixture, z)
                pyro.sample("c", dist.Categorical(logits=logits), infer={"enumerate": "parallel"})

    def objective(self) -> TraceDivergence_ELBO:
        """The paper's objective: equation 4, with the constraint of equation 7 where ``c_prior_floor`` > 0."""
        c_prior: SiteDivergence = KL()
        if self.c_prior_floor:
            floor = math.log(self.num_components) if self.c_prior_floor == "log K" else float(self.c_prior_floor)
            c_prior = FreeBits(KL(), floor=floor)
        return TraceDivergence_ELBO(
            {"z": KL(), "w": KL(), "c": c_prior}, num_particles=self.num_particles, max_plate_nesting=1
        )

    # --- its parts ---------------------------------------------------------------------------------------------------

    # networks may compute in half precision; densities, logarithms and sums are in the data's own type

    def encode(self, x: Tensor) -> dict[str, dist.TorchDistribution]:
        """q(z | x) and q(w | x) by site: batch shape [B], event shapes [latent_dim] and [style_dim]."""
        raw = as_precise(self.encoder(x), x)
        raw_z, raw_w = raw.split([2 * self.latent_dim, 2 * self.style_dim], dim=-1)
        return {"z": diagonal_normal(raw_z), "w": diagonal_normal(raw_w)}

    def decode(self, z: Tensor) -> dist.TorchDistribution:
        """p(x | z): batch shape [\\*], event shape ``event_shape``, for z [\\*, latent_dim]."""
        return self.observation(self.decoder(z).to(z.dtype))

    def components(self, w: Tensor) -> GaussianMixture:
        """p(z | w), the mixture over z [\\*, latent_dim] for w [\\*, style_dim]."""
        locs, raw_scales = self.prior_network(w).to(w.dtype).unbind(-3)
        logits = locs.new_full((self.num_components,), -math.log(self.num_components))
        return GaussianMixture(logits, locs, positive_scale(raw_scales), validate_args=False)

    def _check_component(self, component: int) -> None:
        if not 0 <= component < self.num_components:
            raise ValueError(f"component: expected 0..{self.num_components - 1}, got {component}")

    def _noisy(self, x: Tensor) -> Tensor:
        if self.training and self.input_noise:
            return x + self.input_noise * torch.randn_like(x)
        return x

    # --- what one does with it ---------------------------------------------------------------------------------------

    @evaluating
    def responsibilities(self, x: Tensor, num_samples: int | None = None) -> Tensor:
        """q(c | z, w) at the posterior means of z and w, or averaged over draws of both: [B, K].

        Args:
            x: data, [B, \\*event_shape].
            num_samples: how many draws to average over; None: the posterior means.

        Raises:
            ValueError: for data outside the likelihood's support or ``num_samples`` below 1.
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
            num_samples: how many draws to average over; None: the posterior means.

        Raises:
            ValueError: for data outside the likelihood's support or ``num_samples`` below 1.
        """
        self.observation.check(x)
        if num_samples is not None and num_samples < 1:
            raise ValueError(f"num_samples: expected an integer >= 1, got {num_samples}")
        posterior = self.encode(x)
        if num_samples is None:
            return self.components(posterior["w"].mean).log_responsibilities(posterior["z"].mean)
        draws = (num_samples,)
        w, z = posterior["w"].sample(draws), posterior["z"].sample(draws)
        return self.components(w).log_responsibilities(z).logsumexp(0) - math.log(num_samples)

    @evaluating
    def reconstruct(self, x: Tensor) -> Tensor:
        """The mean of p(x | z) at the posterior mean of z: [B, \\*event_shape]."""
        self.observation.check(x)
        return self.decode(self.encode(x)["z"].mean).mean

    @evaluating
    def sample(self, n: int, component: int | None = None, w: Tensor | None = None) -> Tensor:
        """The decoder's mean at draws from the prior: [n, \\*event_shape].

        Args:
            n: how many.
            component: draw from this component only, 0..K-1; None: from all.
            w: style, [style_dim] or [n, style_dim]; None: drawn from its prior (the paper's figure 5a takes w = 0).

        Raises:
            ValueError: for n below 1 or a component that there is not.
        """
        if n < 1:
            raise ValueError(f"n: expected an integer >= 1, got {n}")
        if component is not None:
            self._check_component(component)
        styles = self.w_prior().sample((n,)) if w is None else w.expand(n, self.style_dim)
        mixture = self.components(styles)
        if component is None:
            c = dist.Categorical(logits=mixture.logits).sample()
        else:
            c = torch.full((n,), component, device=styles.device)
        return self.decode(select_component(mixture, c).sample()).mean

    def component_samples(self, n: int, w: Tensor | None = None) -> Tensor:
        """n samples of every component at one style, the paper's figure 5a: [K, n, \\*event_shape].

        Args:
            n: samples of each component.
            w: style, [style_dim]; None: w = 0, the mode of its prior, as in the paper.
        """
        w = self.w_prior().mean if w is None else w
        return torch.stack([self.sample(n, component=k, w=w) for k in range(self.num_components)])

    @evaluating
    def vary_style(self, component: int, w: Tensor) -> Tensor:
        """The mean of one component decoded at each style, the paper's figure 5b: [\\*, \\*event_shape].

        Args:
            component: 0..K-1.
            w: styles, [\\*, style_dim], for instance a path or a grid.

        Raises:
            ValueError: for a component that there is not.
        """
        self._check_component(component)
        return self.decode(self.components(w).locs[..., component, :]).mean

    def log_weights(self, x: Tensor, num_samples: int) -> Tensor:
        """log p(x | z) p(w) sum_c p(c) p(z | w, c) - log q(z | x) q(w | x) at the guide's draws: [num_samples, B]."""
        posterior = self.encode(x)
        draws = (num_samples,)
        w, z = posterior["w"].rsample(draws), posterior["z"].rsample(draws)
        log_joint = self.decode(z).log_prob(x) + self.w_prior().log_prob(w) + self.components(w).log_prob(z)
        return log_joint - posterior["w"].log_prob(w) - posterior["z"].log_prob(z)


def _joint_log_prob(mixture: GaussianMixture, z: Tensor) -> Tensor:
    """log pi_k + log N(z; mu_k, sigma_k) for every component: [\\*, K] for z [\\*, D]."""
    components = DiagonalNormal(mixture.locs, mixture.scales, validate_args=False)
    return mixture.logits + components.log_prob(z.unsqueeze(-2))
