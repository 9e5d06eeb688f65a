"""The factorial mixture variational autoencoder (Paquet, Ghaisas, Tieleman, 2019)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, ClassVar

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import pyro_method
from torch import Tensor, nn

from pyro_mixvae.distributions import DiagonalNormal, NormalGamma
from pyro_mixvae.distributions.expected_densities import expected_log_densities
from pyro_mixvae.distributions.precision import as_precise
from pyro_mixvae.infer import ConjugatePosterior, PointEstimate, RobbinsMonro, Update, natural_step
from pyro_mixvae.models.factorial_elbo import FactorialELBO
from pyro_mixvae.models.factorial_pretraining import Pretraining
from pyro_mixvae.models.factorial_views import FactorialViews
from pyro_mixvae.nn import NetworkSpec, diagonal_normal, statistics_untouched
from pyro_mixvae.priors import FactorialMixturePrior

#: Learning rate of the labelled factors' q(xi) while it follows the gradient.
LABELLED_LR = 1e-3


class FactorialMixtureVAE(FactorialViews):
    r"""A VAE whose code has I parts, each with a Gaussian mixture whose parameters are inferred, not trained.

    .. math::

        \pi_i \sim \mathrm{Dir}(c_0), \quad (\mu_{ik}, \alpha_{ik}) \sim \mathrm{NormalGamma}(m_0, s_0, a_0, b_0),
        \quad r_i \sim \mathrm{Cat}(\pi_i), \quad z_i \mid r_i = k \sim N(\mu_{ik}, \operatorname{diag}
        \alpha_{ik}^{-1}), \quad x \mid z \sim p(x \mid z)

    The guide is q(z | x), a Gaussian encoder; q(r_i) = gamma_i, the softmax of equations 5 and 6; and q(xi), a
    :class:`~pyro_mixvae.infer.ConjugatePosterior` for each factor's weights and components, which :meth:`after_step`
    moves by natural gradients after each step of the networks' optimiser.

    Factors that are ``labelled`` observe r_i wherever a datum has a label. With ``label_weight`` > 0 the classifier
    that gamma_i is before it is clamped is trained too (equation 8); that term is not conjugate, so that the labelled
    factors' q(xi) follows the gradient then, with a learning rate of its own.

    Sites, for i from 0: data ``x``, latent ``z_i``, component ``r_i``, weights ``pi_i``, means and precisions
    ``components_i``.

    Args:
        event_shape: shape of one datum.
        num_data: N, the data that q(xi) is inferred from.
        latent_dim: D, the dimension of each part z_i.
        num_components: K_i of each factor; a number alone is one factor.
        likelihood: ``"bernoulli"``, ``"normal"``, or a mapping with options.
        encoder: network [\*event_shape] -> [2 I D], means and unconstrained scales.
        decoder: network [I D] -> the likelihood's parameters.
        hyperprior: what is not the default of :class:`~pyro_mixvae.priors.FactorialMixturePrior`.
        xi: ``"posterior"``; or ``"parameters"``, trained with the networks: VaDE's model, with one factor.
        labelled: factors whose components are labels; y is [B] for one of them, [B, L] for several, -1 is missing.
        label_weight: Delta >= 0 of equation 8.
        delay: tau_0 of the natural gradient's steps (tau_0 + t)^-kappa.
        forgetting: kappa of those steps, in (0.5, 1].
        num_particles: Monte Carlo samples of the objective.

    Raises:
        ValueError: for sizes below 1, arguments outside their range, or labelled factors that there are not.

    Example:
        >>> model = FactorialMixtureVAE((1, 8, 8), num_data=1000, latent_dim=3, num_components=[2, 5])
        >>> [gamma.shape for gamma in model.responsibilities(torch.rand(7, 1, 8, 8))]
        [torch.Size([7, 2]), torch.Size([7, 5])]

    Source: Paquet, Ghaisas, Tieleman, *A Factorial Mixture Prior for Compositional Deep Generative Models*.
    """

    num_data: int
    #: :meth:`after_step` works on tensors alone, so that a compiled training compiles it too
    after_step_compiles: ClassVar[bool] = True
    objective_options: ClassVar[tuple[str, ...]] = ("label_weight", "delay", "forgetting", "num_particles")

    def __init__(
        self,
        event_shape: Sequence[int],
        num_data: int,
        latent_dim: int = 64,
        num_components: int | Sequence[int] = 64,
        likelihood: str | Mapping[str, Any] = "bernoulli",
        encoder: NetworkSpec = {"kind": "mlp", "hidden_dims": [500, 500]},  # noqa: B006 (never changed)
        decoder: NetworkSpec = {"kind": "mlp", "hidden_dims": [500, 500]},  # noqa: B006
        hyperprior: Mapping[str, float] = {},
        xi: str = "posterior",
        labelled: Sequence[int] = (),
        label_weight: float = 0.0,
        delay: float = 2000.0,
        forgetting: float = 0.7,
        num_particles: int = 1,
    ) -> None:
        super().__init__(event_shape, likelihood)
        for name, size in {"num_data": num_data, "latent_dim": latent_dim, "num_particles": num_particles}.items():
            if size < 1:
                raise ValueError(f"{name}: expected an integer >= 1, got {size}")
        if xi not in ("posterior", "parameters"):
            raise ValueError(f'xi: expected "posterior" or "parameters", got {xi!r}')
        if not 0 <= label_weight < math.inf:
            raise ValueError(f"label_weight: expected a finite number >= 0, got {label_weight}")
        sizes = [num_components] if isinstance(num_components, int) else list(num_components)
        if len(set(labelled)) < len(labelled) or not set(labelled) <= set(range(len(sizes))):
            raise ValueError(f"labelled: expected different factors in 0..{len(sizes) - 1}, got {list(labelled)}")
        self.num_data, self.latent_dim, self.num_components = num_data, latent_dim, num_components
        self.hyperprior, self.xi, self.labelled = dict(hyperprior), xi, list(labelled)
        self.delay, self.forgetting, self.num_particles = delay, forgetting, num_particles
        self.schedule = RobbinsMonro(delay, forgetting)
        try:
            self.prior = FactorialMixturePrior(sizes, latent_dim, **hyperprior)
        except TypeError as error:
            raise ValueError(f"hyperprior: {error}") from error
        self.num_factors = len(sizes)
        code = self.num_factors * latent_dim
        self.encoder = self._network("encoder", encoder, self.event_shape, (2 * code,))
        self.decoder = self._network("decoder", decoder, (code,), self.observation.raw_shape)
        make = ConjugatePosterior if xi == "posterior" else PointEstimate
        self.weights = nn.ModuleList(make(self.prior.weights(i)) for i in range(self.num_factors))
        self.components = nn.ModuleList(make(self.prior.components(i)) for i in range(self.num_factors))
        for i, size in enumerate(sizes):
            self.start_at(i, torch.randn(size, latent_dim), torch.ones(latent_dim))
        self._label_weight = 0.0
        self.label_weight = label_weight

    # --- the pair ----------------------------------------------------------------------------------------------------

    @pyro_method
    def model(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """p(xi) p(r | xi) p(z | r, xi) p(x | z) for data [B, \\*event_shape]; labelled components are observed."""
        given = self.xi == "parameters"
        xi = [
            (
                pyro.sample(f"pi_{i}", self.weights[i]() if given else self.prior.weights(i)),
                pyro.sample(f"components_{i}", self.components[i]() if given else self.prior.components(i).to_event(2)),
            )
            for i in range(self.num_factors)
        ]
        with self._data(x):
            z = []
            for i, (pi, components) in enumerate(xi):
                label = self._labels(y, i)
                observed = {} if label is None else {"obs": label.clamp(min=0), "obs_mask": label >= 0}
                r = pyro.sample(f"r_{i}", dist.Categorical(pi), infer={"enumerate": "parallel"}, **observed)
                z.append(pyro.sample(f"z_{i}", self.prior.latent(components, r)))
            return pyro.sample("x", self.decode(torch.cat(z, dim=-1)), obs=x)

    @pyro_method
    def guide(self, x: Tensor, y: Tensor | None = None) -> None:
        """q(xi) q(z | x) q(r), the last clamped to the labels that there are."""
        statistics = [(w.sample(f"pi_{i}"), c.sample(f"components_{i}")) for i, w, c in self._parts()]
        codes = self._codes(x)
        with self._data(x):
            for i, ((loc, scale), (log_weights, of_components)) in enumerate(zip(codes, statistics, strict=True)):
                pyro.sample(f"z_{i}", DiagonalNormal(loc, scale))
                log_gamma = (expected_log_densities(of_components, loc, scale) + log_weights).log_softmax(-1)
                label = self._labels(y, i)
                clamped = log_gamma if label is None else _clamped(log_gamma, label)
                name = f"r_{i}" if label is None else f"r_{i}_unobserved"
                q = dist.Categorical(logits=clamped.detach().to(loc.dtype))
                pyro.sample(name, q, infer={"enumerate": "parallel"})
                if label is not None and self.label_weight:
                    cost = -log_gamma.gather(-1, label.clamp(min=0).unsqueeze(-1)).squeeze(-1) * (label >= 0)
                    pyro.factor(f"labels_{i}", (self.label_weight * cost).to(loc.dtype), has_rsample=True)

    def objective(self) -> FactorialELBO:
        """The bound (4), less the labels' weighted cross-entropy where there is one (equation 8)."""
        return FactorialELBO(self.num_factors, self.num_particles)

    def _data(self, x: Tensor) -> Any:
        """The plate of all N data, of which a batch is at hand."""
        return pyro.plate("data", self.num_data, subsample=torch.arange(len(x), device=x.device))

    def _labels(self, y: Tensor | None, factor: int) -> Tensor | None:
        if y is None or factor not in self.labelled:
            return None
        return y if y.dim() == 1 else y[:, self.labelled.index(factor)]

    def _parts(self) -> list[tuple[int, Any, Any]]:
        return [(i, self.weights[i], self.components[i]) for i in range(self.num_factors)]

    def _codes(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Mean and scale of each q(z_i | x), [B, D]."""
        q = diagonal_normal(as_precise(self.encoder(x), x)).base_dist
        return list(zip(self.prior.split(q.loc), self.prior.split(q.scale), strict=True))

    def _codes_again(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The codes of a batch that the optimiser has just seen; batch norm does not see it twice."""
        with torch.no_grad(), statistics_untouched(self.encoder):
            return self._codes(x)

    def _gamma(self, log_joint: Tensor, y: Tensor | None, factor: int) -> Tensor:
        """q(r_i), all of it at the label where there is one: [B, K]."""
        log_gamma, label = log_joint.log_softmax(-1), self._labels(y, factor)
        return (log_gamma if label is None else _clamped(log_gamma, label)).exp()

    # --- natural gradients -------------------------------------------------------------------------------------------

    def conjugate_terms(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        r"""What of the bound depends on data and q(xi), scaled to N data: 0-d, linear in the expected statistics.

        .. math:: \frac{N}{|B|} \sum_n \sum_{ik} \gamma_{ik} \big( E \log N(z_i; \mu_{ik}, \alpha_{ik}^{-1})
            + E \log \pi_{ik} \big)
        """
        total = torch.zeros((), dtype=torch.float64, device=x.device)
        for (i, weights, components), (loc, scale) in zip(self._parts(), self._codes_again(x), strict=True):
            terms = expected_log_densities(components.expected_statistics(), loc, scale)
            terms = terms + weights.expected_statistics()
            total = total + (self._gamma(terms.detach(), y, i) * terms).sum()
        return self.num_data / len(x) * total

    @torch.no_grad()
    def data_statistics(self, x: Tensor, y: Tensor | None = None) -> list[tuple[Tensor, Tensor]]:
        r"""The batch's expected sufficient statistics, scaled to N data, for the weights and the components.

        .. math:: \frac{N}{|B|} \sum_n \gamma_{ink} \quad\text{and}\quad
            \frac{N}{|B|} \sum_n \gamma_{ink} [\tfrac12, -\tfrac12 E z_{ni}^2, E z_{ni}, -\tfrac12]

        They are the gradient of :meth:`conjugate_terms` in the expected statistics of pi and of the components.

        Returns:
            for each factor a pair [K], [K, D, 4], in float64.

        Source: Paquet, Ghaisas, Tieleman, equation 13.
        """
        found = []
        for (i, weights, components), (loc, scale) in zip(self._parts(), self._codes_again(x), strict=True):
            terms = expected_log_densities(components.expected_statistics(), loc, scale)
            gamma = self._gamma(terms + weights.expected_statistics(), y, i) * (self.num_data / len(x))
            found.append((gamma.sum(0), NormalGamma.likelihood_statistics(loc, scale, gamma)))
        return found

    def natural_posteriors(self) -> list[ConjugatePosterior]:
        """Those parts of q(xi) that natural gradients move."""
        parts = [part for _, *pair in self._parts() for part in pair]
        return [part for part in parts if isinstance(part, ConjugatePosterior) and not part.by_gradient]

    def after_step(self, batch: tuple[Tensor, ...], step: int) -> None:
        """The natural-gradient step that follows each step of the networks' optimiser, on the same batch."""
        moved = self.natural_posteriors()
        if moved:
            every = [part for _, *pair in self._parts() for part in pair]
            statistics = dict(zip(every, chain.from_iterable(self.data_statistics(*batch)), strict=True))
            natural_step(moved, [statistics[part] for part in moved], self.schedule, len(batch[0]))

    @property
    def label_weight(self) -> float:
        """Delta of equation 8; setting it to 0 returns the labelled factors to natural gradients."""
        return self._label_weight

    @label_weight.setter
    def label_weight(self, weight: float) -> None:
        if not 0 <= weight < math.inf:
            raise ValueError(f"label_weight: expected a finite number >= 0, got {weight}")
        self._label_weight = weight
        for i in self.labelled:
            for part in (self.weights[i], self.components[i]):
                if isinstance(part, ConjugatePosterior) and part.by_gradient != (weight > 0):
                    part.follow_gradient() if weight else part.follow_natural_gradient()

    def updates(self) -> list[Update]:
        """A learning rate of their own for the labelled factors' q(xi) while it follows the gradient."""
        followed = [parameter for part in self.modules() if _follows(part) for parameter in part.parameters()]
        if not followed:
            return []
        others = [p for p in self.parameters() if p.requires_grad and all(p is not own for own in followed)]
        groups: list[dict[str, Any]] = [{"params": others}, {"params": followed, "lr": LABELLED_LR}]
        return [Update("objective", others + followed, groups=groups)]

    # --- where q(xi) starts ------------------------------------------------------------------------------------------

    def pretraining(self, kl_weight: float | None = None) -> Pretraining:
        """The same networks with a N(0, I) prior: what :func:`~pyro_mixvae.training.fit` is given first.

        Args:
            kl_weight: of the KL to that prior; None: 1, or 0 (an autoencoder) where xi is parameters, as in VaDE.
        """
        return Pretraining(self, float(self.xi == "posterior") if kl_weight is None else kl_weight)

    @torch.no_grad()
    def start_at(self, factor: int, locs: Tensor, scale: Tensor, weights: Tensor | None = None) -> None:
        """Start a factor's components here: as if their shares of the N data had been seen so, where xi is inferred.

        Args:
            factor: which.
            locs: means, [K, D].
            scale: standard deviations, [D] or [K, D].
            weights: shares of the data, [K]; None: 1/K.
        """
        _, q_weights, q_components = self._parts()[factor]
        weights = locs.new_full((len(locs),), 1 / len(locs)) if weights is None else weights
        if isinstance(q_components, ConjugatePosterior):
            counts = self.num_data * weights
            q_components.set(counts[:, None, None] * NormalGamma.likelihood_statistics(locs, scale))
            q_weights.set(counts)
        else:
            q_components.set_components(locs, scale.expand_as(locs))
            q_weights.set_weights(weights)


def _follows(part: nn.Module) -> bool:
    return isinstance(part, ConjugatePosterior) and part.by_gradient


def _clamped(log_gamma: Tensor, label: Tensor) -> Tensor:
    """All probability at the label, where there is one: [B, K]."""
    at_label = torch.arange(log_gamma.shape[-1], device=label.device) == label.unsqueeze(-1)
    point = torch.where(at_label, 0.0, -math.inf).to(log_gamma)
    return torch.where((label >= 0).unsqueeze(-1), point, log_gamma)
