"""The mixture of variational autoencoders (Ye and Bors, *Deep Mixture Generative Autoencoders*)."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.nn import pyro_method
from torch import Tensor
from torch.nn.functional import one_hot, softplus

from pyro_mixvae.distributions import DiagonalNormal
from pyro_mixvae.distributions.precision import as_precise
from pyro_mixvae.models.base import MixtureVAE, evaluating
from pyro_mixvae.models.checks import check_positive, check_sizes
from pyro_mixvae.models.mvae_dependence import BatchSizes, dependence
from pyro_mixvae.models.mvae_dropout import ComponentDropout
from pyro_mixvae.models.mvae_objective import MixtureELBO, constant
from pyro_mixvae.nn import NetworkSpec, positive_scale
from pyro_mixvae.nn.mixing import SubDecoders, build_ensemble
from pyro_mixvae.priors import StandardNormal

#: Dirichlet concentrations are softplus(raw) + MIN_CONCENTRATION: below, the gradient of a draw is beyond use.
MIN_CONCENTRATION = 0.01


class MVAE(MixtureVAE):
    r"""K encoders with a sub-decoder each, mixed by Dirichlet weights before one decoder.

    .. math::

        w \sim \mathrm{Dir}(b), \quad z_i \sim \mathcal{N}(0, I), \quad m_i \sim p(m), \qquad
        x \sim p\Big(x \,\Big|\, \sum_i \frac{m_i w_i}{\sum_j m_j w_j} \, t_i(z_i)\Big)

    The guide is :math:`\mathrm{Dir}(w; a_1(x), \ldots, a_K(x)) \prod_i \mathcal{N}(z_i; \mu_i(x), \sigma_i^2(x)) \,
    p(m)`, and the loss for each datum, minimised,

    .. math::

        \tfrac12 |x' - x|^2 + KL\big(\mathrm{Dir}(a) \,\|\, \mathrm{Dir}(b)\big)
            + \gamma \sum_i KL\big(q_i \,\|\, \mathcal{N}(0, I)\big) + \beta \, \mathrm{dHSIC}(z_1, \ldots, z_K) + R

    where R is the cost of the masks, see :class:`~pyro_mixvae.models.mvae_dropout.ComponentDropout`. Masks are drawn
    in training and are 1 in evaluation. A last batch with fewer than 2 K data has no dHSIC term.

    Sites: data ``x``, mixing weights ``w``, codes ``z`` and masks ``m`` (both in the plate ``"components"``); the
    guide's factors ``dhsic`` and ``dropout``.

    Args:
        event_shape: shape of one datum.
        latent_dim: dimension of each component's code.
        num_components: K.
        likelihood: of x around the decoder's output; the paper's is a Normal with scale 1.
        encoder: K networks [\*event_shape] -> [K, 2 latent_dim + 1], by the description of one (``"mlp"`` or
            ``"conv"``) or as a module; with ``num_classes`` a module takes one-hot labels as second argument.
        mixed_shape: shape of what the sub-decoders give and the decoder takes.
        sub_activation: after the sub-decoders' one linear layer.
        decoder: the mix-decoder [\*mixed_shape] -> the likelihood's parameters.
        num_classes: C, to condition every encoder and sub-decoder on a one-hot label; None: no labels.
        dropout: of components, ``"none"``, ``"gaussian"`` (MVAE-Gau) or ``"gumbel"`` (MVAE-GS).
        per_component: a learned rate for each component, which really switches components off, instead of one.
        dropout_rate: p at the start.
        learn_dropout: False: hold p there. A learned rate falls where components know different things, until none is
            left out; a held one makes each know more by itself.
        prior_concentration: b.
        beta: weight of dHSIC.
        bandwidth: of dHSIC's kernels; None: the median heuristic.
        kl_weight: gamma, ``"1/K"`` (the paper's) or a number; with 1, and beta = 0, the loss less R is a bound.
        num_particles: Monte Carlo samples of the objective.

    Raises:
        ValueError: for sizes below 1, weights or a rate outside their range, an unknown choice, dHSIC with one
            component, or networks that do not fit the data.

    Example:
        >>> model = MVAE((1, 8, 8), latent_dim=2, num_components=3)
        >>> x = torch.rand(6, 1, 8, 8)
        >>> model.encode(x)["z"].mean.shape
        torch.Size([6, 3, 2])
        >>> list(model.terms(x))
        ['reconstruction', 'z_prior', 'w_prior', 'dhsic']

    Source: equations 2 to 4, 9, 15 to 19 and 22 to 29 of the paper; 22, 27 and 29 corrected.
    """

    term_names: ClassVar[Mapping[str, str]] = {"x": "reconstruction", "z": "z_prior", "w": "w_prior"}
    objective_options: ClassVar[tuple[str, ...]] = ("beta", "bandwidth", "kl_weight", "num_particles")

    def __init__(
        self,
        event_shape: Sequence[int],
        latent_dim: int = 10,
        num_components: int = 4,
        likelihood: str | Mapping[str, Any] = {"name": "normal", "scale": 1.0},
        encoder: NetworkSpec = {"kind": "mlp", "hidden_dims": [500, 500]},  # noqa: B006 (never changed)
        mixed_shape: Sequence[int] = (500,),
        sub_activation: str = "relu",
        decoder: NetworkSpec = {"kind": "mlp", "hidden_dims": [500]},  # noqa: B006
        num_classes: int | None = None,
        dropout: str = "none",
        per_component: bool = False,
        dropout_rate: float = 0.1,
        learn_dropout: bool = True,
        prior_concentration: float = 1.0,
        beta: float = 1.0,
        bandwidth: float | None = None,
        kl_weight: float | str = "1/K",
        num_particles: int = 1,
    ) -> None:
        super().__init__(event_shape, likelihood)
        check_sizes(latent_dim=latent_dim, num_components=num_components, num_particles=num_particles)
        check_sizes(num_classes=1 if num_classes is None else num_classes, mixed_shape=min(mixed_shape, default=0))
        check_positive(prior_concentration=prior_concentration, bandwidth=1.0 if bandwidth is None else bandwidth)
        if not 0 <= beta < math.inf:
            raise ValueError(f"beta: expected a finite number >= 0, got {beta}")
        if beta and num_components == 1:
            raise ValueError(f"beta: dHSIC needs 2 components or more, got {beta:g} with 1; use beta 0")
        if isinstance(kl_weight, str) and kl_weight != "1/K":
            raise ValueError(f'kl_weight: expected a finite number > 0 or "1/K", got {kl_weight!r}')
        check_positive(kl_weight=1.0 if isinstance(kl_weight, str) else kl_weight)
        self.latent_dim, self.num_components, self.num_particles = latent_dim, num_components, num_particles
        self.mixed_shape, self.sub_activation = tuple(int(size) for size in mixed_shape), sub_activation
        self.num_classes, self.prior_concentration = num_classes, prior_concentration
        self.dropout, self.per_component = dropout, per_component
        self.dropout_rate, self.learn_dropout = dropout_rate, learn_dropout
        self.beta, self.bandwidth, self.kl_weight = beta, bandwidth, kl_weight

        if isinstance(encoder, Mapping):
            self.network_specs["encoder"] = dict(encoder)
        labels, raw_shape = num_classes or 0, (2 * latent_dim + 1,)
        self.encoder = build_ensemble(encoder, self.event_shape, raw_shape, "encoder", num_components, labels)
        self.sub_decoder = SubDecoders(num_components, latent_dim + labels, self.mixed_shape, sub_activation)
        self.decoder = self._network("decoder", decoder, self.mixed_shape, self.observation.raw_shape)
        self.masks = ComponentDropout(num_components, dropout, per_component, dropout_rate, learn_dropout)
        self.z_prior = StandardNormal(latent_dim)
        self.batch_sizes = BatchSizes()

    # --- the pair ----------------------------------------------------------------------------------------------------

    @pyro_method
    def model(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """p(w) p(z) p(m) p(x | w, z, m) for data [B, \\*event_shape] and labels [B], -1 where missing."""
        with pyro.plate("data", len(x), dim=-1):
            w = pyro.sample("w", self.w_prior())
            with pyro.plate("components", self.num_components, dim=-2):
                with poutine.scale(scale=self.z_weight):
                    z = pyro.sample("z", self.z_prior())
                masks = self._draw_masks()
            return pyro.sample("x", self._observe(w, z, masks, self._one_hot(y, len(x))), obs=x)

    @pyro_method
    def guide(self, x: Tensor, y: Tensor | None = None) -> None:
        """q(w | x) q(z | x) p(m), and the factors that training charges beyond the model."""
        loc, scale, concentration = self._posterior(x, self._one_hot(y, len(x)))
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("w", dist.Dirichlet(concentration))
            with pyro.plate("components", self.num_components, dim=-2):
                with poutine.scale(scale=self.z_weight):
                    z = pyro.sample("z", DiagonalNormal(loc.transpose(0, 1), scale.transpose(0, 1)))
                self._draw_masks()
            if self.beta and self.batch_sizes.suffice(len(x), self.num_components, self.training):
                pyro.factor("dhsic", self.beta * dependence(z, self.bandwidth), has_rsample=True)
            if self.dropout != "none":
                pyro.factor("dropout", self.masks.cost().expand(len(x)), has_rsample=True)

    def objective(self) -> MixtureELBO:
        """The paper's loss: (18) with Gaussian, (24) with Gumbel masks, (15) without."""
        return MixtureELBO(constant(self.observation), self.num_particles)

    @property
    def z_weight(self) -> float:
        """gamma, the weight of the codes' divergence."""
        return 1 / self.num_components if isinstance(self.kl_weight, str) else float(self.kl_weight)

    def _draw_masks(self) -> Tensor | None:
        """Masks [\\*, K, B] in training, of one distribution in model and guide; None where all are 1."""
        if self.dropout == "none" or not self.training:
            return None
        return pyro.sample("m", self.masks.distribution().mask(False))

    def _observe(self, w: Tensor, z: Tensor, masks: Tensor | None, label: Tensor | None) -> dist.TorchDistribution:
        """p(x | w, z, m) for the pair's draws: w [\\*, B, K], z [\\*, K, B, D] and masks [\\*, K, B]."""
        z = z.movedim(-3, -2)
        masks = None if masks is None else masks.transpose(-1, -2)
        if z.dim() > 3:  # particles stand left of the plate "components", in which w and x do not lie
            z, masks = z.unsqueeze(-4), None if masks is None else masks.unsqueeze(-3)
        return self._mix(z, self.masks.weights(w, masks), label)

    # --- its parts ---------------------------------------------------------------------------------------------------

    # networks may compute in half precision; densities, logarithms and sums are in the data's own type

    def _posterior(self, x: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Means and scales [B, K, D] of the codes, and concentrations [B, K] of the weights."""
        raw = self.encoder(x) if label is None else self.encoder(x, label)
        loc, raw_scale, raw_concentration = as_precise(raw, x).split([self.latent_dim, self.latent_dim, 1], -1)
        return loc, positive_scale(raw_scale), softplus(raw_concentration.squeeze(-1)) + MIN_CONCENTRATION

    def _one_hot(self, y: Tensor | None, num_data: int) -> Tensor | None:
        """Labels as vectors [B, C], zero where missing; None for a model without labels."""
        if self.num_classes is None:
            return None
        if y is None:
            return self.z_prior.loc.new_zeros(num_data, self.num_classes)
        return one_hot(y.clamp(min=0), self.num_classes).to(self.z_prior.loc) * (y >= 0).unsqueeze(-1)

    def w_prior(self) -> dist.Dirichlet:
        """p(w) = Dir(b): batch shape [], event shape [K]."""
        return dist.Dirichlet(self.z_prior.loc.new_full((self.num_components,), self.prior_concentration))

    def encode(self, x: Tensor, y: Tensor | None = None) -> dict[str, dist.TorchDistribution]:
        """q(z | x), batch shape [B, K], event shape [latent_dim], and q(w | x), batch shape [B], event shape [K]."""
        loc, scale, concentration = self._posterior(x, self._one_hot(y, len(x)))
        return {"z": DiagonalNormal(loc, scale), "w": dist.Dirichlet(concentration)}

    def decode(self, z: Tensor, weights: Tensor | None = None, y: Tensor | None = None) -> dist.TorchDistribution:
        """p(x | z, w) for a code of every component: batch shape [\\*, N], event shape ``event_shape``.

        Args:
            z: codes, [\\*, N, K, latent_dim].
            weights: mixing weights [\\*, N, K], with sum 1; None: equal ones for all components that are on.
            y: labels, [N], for a model with ``num_classes``; -1 or None where unknown.
        """
        if weights is None:
            weights = self.masks.weights(self.w_prior().mean)
        return self._mix(z, weights, self._one_hot(y, z.shape[-3]))

    def _mix(self, z: Tensor, weights: Tensor, label: Tensor | None) -> dist.TorchDistribution:
        return self.observation(self.decoder(self.sub_decoder(z, weights, label)).to(z.dtype))

    # --- what one does with it ---------------------------------------------------------------------------------------

    def check(self, x: Tensor, y: Tensor | None = None, num_classes: int | None = None) -> None:
        """As the base class; labels of a model that takes them lie in -1..C-1 of its own C."""
        super().check(x, y, self.num_classes or num_classes)

    @evaluating
    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The mean of p(x | z, w) at the posterior means of z and w: [B, \\*event_shape]."""
        self.observation.check(x)
        posterior = self.encode(x, y)
        return self.decode(posterior["z"].mean, self.masks.weights(posterior["w"].mean), y).mean

    @evaluating
    def sample(self, n: int, component: int | None = None, y: Tensor | None = None) -> Tensor:
        """The decoder's mean at draws from the prior: [n, \\*event_shape].

        Args:
            n: how many.
            component: generate by this component alone, 0..K-1; None: mix all by weights w ~ Dir(b).
            y: labels, [n], for a model with ``num_classes``.

        Raises:
            ValueError: for n below 1 or a component that there is not.
        """
        if n < 1:
            raise ValueError(f"n: expected an integer >= 1, got {n}")
        z = self.z_prior().sample((n, self.num_components))
        weights = self.masks.weights(self.w_prior().sample((n,))) if component is None else self.only(component)
        return self.decode(z, weights, y).mean

    def only(self, component: int) -> Tensor:
        """The weights of one component's own view, a unit vector [K].

        Raises:
            ValueError: for a component that there is not.
        """
        if not 0 <= component < self.num_components:
            raise ValueError(f"component: expected 0..{self.num_components - 1}, got {component}")
        return torch.eye(self.num_components).to(self.z_prior.loc)[component]

    def log_weights(self, x: Tensor, num_samples: int) -> Tensor:
        """log p(x | z, w, m) p(w) p(z) - log q(w | x) q(z | x) at draws of w, z and m ~ p(m): [num_samples, B]."""
        draws, posterior, masks = (num_samples,), self.encode(x), None
        w, z = posterior["w"].sample(draws), posterior["z"].sample(draws)
        if self.dropout != "none":
            masks = self.masks.distribution().expand((self.num_components, len(x))).sample(draws).transpose(-1, -2)
        log_joint = self.decode(z, self.masks.weights(w, masks)).log_prob(x) + self.w_prior().log_prob(w)
        log_z = self.z_prior().log_prob(z) - posterior["z"].log_prob(z)
        return log_joint - posterior["w"].log_prob(w) + log_z.sum(-1)

    # --- how many components it takes --------------------------------------------------------------------------------

    @torch.no_grad()
    def epoch_metrics(self) -> dict[str, float]:
        """What training logs at each epoch's end beside the loss: selected K and the rates, short batches counted."""
        metrics = self.masks.metrics()
        if self.beta:
            metrics["batches_without_dhsic"] = float(self.batch_sizes.short)
            self.batch_sizes.short = 0
        return metrics

    def prune(self, components: Sequence[int] | None = None) -> Self:
        """A smaller model of some of the components, with the same outputs where the others are off.

        With ``kl_weight="1/K"`` its K is the smaller one; of one component it has no dHSIC.

        Args:
            components: which to keep, in this order; None: those that are on (all, with one shared rate).

        Raises:
            ValueError: for numbers outside 0..K-1, repeated ones or none, or an encoder of the user's own without
                ``select``.
        """
        kept = self.masks.is_on.nonzero().flatten().tolist() if components is None else list(components)
        if not kept or len(set(kept)) < len(kept) or not set(kept) <= set(range(self.num_components)):
            raise ValueError(f"components: expected different numbers in 0..{self.num_components - 1}, got {kept}")
        if not hasattr(self.encoder, "select"):
            raise ValueError(
                f"encoder: {type(self.encoder).__name__} has no select(components), so it cannot be pruned"
            )
        smaller = copy.deepcopy(self)
        for name in ("encoder", "sub_decoder", "masks"):
            setattr(smaller, name, getattr(self, name).select(kept))
        smaller.num_components = len(kept)
        smaller.beta = self.beta if len(kept) > 1 else 0.0
        return smaller
