"""What one does with a factorial mixture: encode, sample, clamp, look at its components, measure."""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyro_mixvae.distributions import DiagonalNormal
from pyro_mixvae.distributions.component_densities import log_responsibilities
from pyro_mixvae.distributions.expected_densities import expected_log_densities
from pyro_mixvae.models.base import MixtureVAE, evaluating
from pyro_mixvae.priors import FactorialMixturePrior

#: Codes are drawn within these bounds: a component without data is a Student's t with 0.02 degrees of freedom, whose
#: draws no decoder can be asked about (half of them are beyond 1e14).
LARGEST_CODE = 1e6

#: A component with less than so many data beyond its prior's pseudo-count is pruned.
ONE_DATUM = 1.0


class FactorialViews(MixtureVAE):
    """The part of :class:`~pyro_mixvae.models.FactorialMixtureVAE` that only looks."""

    term_names: ClassVar[Mapping[str, str]] = {
        "x": "reconstruction",
        "z": "kl_z",
        "r": "kl_r",
        "components": "kl_components",
        "pi": "kl_weights",
        "labels": "labels",
    }

    num_factors: int
    labelled: Sequence[int]
    prior: FactorialMixturePrior
    weights: Any  # a module list of conjugate posteriors, which torch has no type for
    components: Any
    decoder: nn.Module

    @abstractmethod
    def _codes(self, x: Tensor) -> list[tuple[Tensor, Tensor]]: ...

    # --- its parts ---------------------------------------------------------------------------------------------------

    # networks may compute in half precision; densities, logarithms and sums are in the data's own type

    def encode(self, x: Tensor) -> dict[str, dist.TorchDistribution]:
        """Each q(z_i | x) by site, ``z_0``, ``z_1``, ...: batch shape [B], event shape [latent_dim]."""
        return {f"z_{i}": DiagonalNormal(*code) for i, code in enumerate(self._codes(x))}

    def decode(self, z: Tensor) -> dist.TorchDistribution:
        """p(x | z): batch shape [\\*], event shape ``event_shape``, for z [\\*, I latent_dim], the parts in a row."""
        return self.observation(self.decoder(z).to(z.dtype))

    def check(self, x: Tensor, y: Tensor | None = None, num_classes: int | None = None) -> None:
        """Refuse data that the model cannot be trained on; labels, [B] or [B, L], are -1 or a component's number.

        Raises:
            ValueError: as :meth:`MixtureVAE.check`, and for labels that a labelled factor has no component for.
        """
        super().check(x, y, num_classes if not self.labelled else None)
        if y is None or not self.labelled:
            return
        columns = y.unsqueeze(-1) if y.dim() == 1 else y
        if columns.shape != (len(x), len(self.labelled)):
            raise ValueError(f"y: expected labels for {len(self.labelled)} factors, got shape {list(y.shape)}")
        for factor, column in zip(self.labelled, columns.unbind(-1), strict=True):
            top = self.prior.num_components[factor] - 1
            if column.numel() and column.max() > top:
                raise ValueError(f"y: expected labels in -1..{top} for factor {factor}, got {column.max()}")

    @evaluating
    def responsibilities(self, x: Tensor) -> list[Tensor]:
        """gamma_i of equation 5 for each factor, not clamped to any label: [B, K_i] each."""
        self.observation.check(x)
        return [log_gamma.exp().to(x.dtype) for log_gamma, *_ in self._beliefs(x)]

    @evaluating
    def log_responsibilities(self, x: Tensor) -> list[Tensor]:
        """log gamma_i for each factor, not clamped to any label: [B, K_i] each, float64, in nats.

        Responsibilities near 1 do not round to equals here, so it is these that the most-confident rule
        (:func:`~pyro_mixvae.metrics.clustering_accuracy`) should see.
        """
        self.observation.check(x)
        return [log_responsibilities(densities + weights) for _, densities, weights in self._beliefs(x)]

    def _beliefs(self, x: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """For each factor log gamma, E log p(z_i | mu_k, alpha_k) and E log pi_k, each [B, K_i], float64."""
        found = []
        for weights, components, (loc, scale) in zip(self.weights, self.components, self._codes(x), strict=True):
            densities = expected_log_densities(components.expected_statistics(), loc, scale)
            log_weights = weights.expected_statistics().expand_as(densities)
            found.append(((densities + log_weights).log_softmax(-1), densities, log_weights))
        return found

    @evaluating
    def reconstruct(self, x: Tensor) -> Tensor:
        """The mean of p(x | z) at the posterior mean of z: [B, \\*event_shape]."""
        self.observation.check(x)
        return self.decode(torch.cat([loc for loc, _ in self._codes(x)], dim=-1)).mean

    # --- drawing -----------------------------------------------------------------------------------------------------

    @evaluating
    def sample(self, n: int, component: int | Sequence[int | None] | None = None) -> Tensor:
        """The decoder's mean at draws from the predictive distribution, section 2.6: [n, \\*event_shape].

        Args:
            n: how many.
            component: one number for each factor, None where it is to be drawn; a number alone clamps factor 0.

        Raises:
            ValueError: for n below 1, or a component that there is not.
        """
        if n < 1:
            raise ValueError(f"n: expected an integer >= 1, got {n}")
        parts = [self._draw(i, n, k) for i, k in enumerate(self._clamps(component))]
        return self.decode(torch.cat(parts, dim=-1)).mean

    def _clamps(self, component: int | Sequence[int | None] | None) -> list[int | None]:
        if component is None or isinstance(component, int):
            component = [component, *[None] * (self.num_factors - 1)]
        clamps = list(component)
        sizes = self.prior.num_components
        if len(clamps) != len(sizes):
            raise ValueError(f"component: expected one number or None for each of {len(sizes)} factors, got {clamps}")
        for i, (k, size) in enumerate(zip(clamps, sizes, strict=True)):
            if k is not None and not 0 <= k < size:
                raise ValueError(f"component: expected 0..{size - 1} for factor {i}, got {k}")
        return clamps

    def _draw(self, factor: int, n: int, k: int | None) -> Tensor:
        """n draws of z_i from its predictive distribution, [n, D]: from component k, or from all."""
        r = self.weights[factor].predictive().sample((n,)) if k is None else torch.full((n,), k)
        return self._predictive(factor, r).sample().clamp(-LARGEST_CODE, LARGEST_CODE)

    def _predictive(self, factor: int, r: Tensor) -> dist.TorchDistribution:
        """Student's t of component r, equation 10: batch shape [\\*], event shape [D]."""
        every = self.components[factor].predictive()
        r = r.to(every.loc.device)
        if isinstance(every, dist.StudentT):
            return dist.StudentT(every.df[r], every.loc[r], every.scale[r]).to_event(1)
        return dist.Normal(every.loc[r], every.scale[r]).to_event(1)

    @evaluating
    def component_summary(
        self, component: int, factor: int = 0, num_samples: int = 100, num_shown: int = 5
    ) -> dict[str, Tensor]:
        """What one component looks like, figure 4.

        Args:
            component: its number.
            factor: whose.
            num_samples: draws that mean and variance are taken of.
            num_shown: how many of them are returned, at most num_samples.

        Returns:
            ``mean`` and ``variance`` of the decoded draws, [\\*event_shape], and ``samples``, [num_shown, ...].

        Raises:
            ValueError: for a factor or a component that there is not.
        """
        if not 0 <= factor < self.num_factors:
            raise ValueError(f"factor: expected 0..{self.num_factors - 1}, got {factor}")
        clamps = [component if i == factor else None for i in range(self.num_factors)]
        draws = self.sample(max(num_samples, num_shown), clamps)
        return {"mean": draws.mean(0), "variance": draws.var(0, correction=0), "samples": draws[:num_shown]}

    @evaluating
    def grid(
        self,
        factors: Sequence[int],
        num_samples: int = 100,
        component: Sequence[int | None] | None = None,
        choices: Sequence[Sequence[int]] | None = None,
    ) -> Tensor:
        """The mean of decoded draws at every setting of some factors, figures 8 to 10.

        Args:
            factors: which; their components are the first dimensions of the result.
            num_samples: draws that are averaged.
            component: clamps of the other factors, None where they are drawn.
            choices: for each of ``factors`` the numbers of the components that are wanted; None: all of them.

        Returns:
            [K_i, K_j, ..., \\*event_shape], or as many of each as are wanted.

        Raises:
            ValueError: for factors or components that there are not.
        """
        others = self._clamps(component)

        def at(setting: Sequence[int]) -> Tensor:
            clamps = [setting[factors.index(i)] if i in factors else others[i] for i in range(self.num_factors)]
            return self.sample(num_samples, clamps).mean(0)

        return self._over(factors, choices, at)

    @evaluating
    def variations(
        self,
        factors: Sequence[int],
        component: Sequence[int | None] | None = None,
        choices: Sequence[Sequence[int]] | None = None,
    ) -> Tensor:
        """One thing at every setting of some factors, all else held as it was drawn once, figures 1 and 6.

        Each component of these factors is drawn once too, so that neighbours differ in one factor only.

        Args:
            factors: which; their components are the first dimensions of the result.
            component: clamps of the other factors, None where they are drawn.
            choices: for each of ``factors`` the numbers of the components that are wanted; None: all of them.

        Returns:
            [K_i, K_j, ..., \\*event_shape], or as many of each as are wanted.

        Raises:
            ValueError: for factors or components that there are not.
        """
        held = [self._draw(i, 1, k) for i, k in enumerate(self._clamps(component))]
        drawn: dict[tuple[int, int], Tensor] = {}

        def at(setting: Sequence[int]) -> Tensor:
            for i, k in zip(factors, setting, strict=True):
                if (i, k) not in drawn:
                    drawn[i, k] = self._draw(i, 1, k)
            chosen = {i: drawn[i, k] for i, k in zip(factors, setting, strict=True)}
            return self.decode(torch.cat([chosen.get(i, z) for i, z in enumerate(held)], dim=-1)).mean[0]

        return self._over(factors, choices, at)

    def _over(self, factors: Sequence[int], choices: Sequence[Sequence[int]] | None, at: Any) -> Tensor:
        if not factors or not set(factors) <= set(range(self.num_factors)) or len(set(factors)) < len(factors):
            raise ValueError(f"factors: expected different factors in 0..{self.num_factors - 1}, got {list(factors)}")
        sizes = [self.prior.num_components[i] for i in factors]
        wanted = [list(range(size)) for size in sizes] if choices is None else [list(numbers) for numbers in choices]
        if len(wanted) != len(sizes) or any(
            not numbers or not set(numbers) <= set(range(size)) for numbers, size in zip(wanted, sizes, strict=False)
        ):
            allowed = ", ".join(f"0..{size - 1}" for size in sizes)
            raise ValueError(f"choices: expected numbers in {allowed} for each of the factors, got {wanted}")
        images = torch.stack([at(setting) for setting in itertools.product(*wanted)])
        return images.reshape(*map(len, wanted), *self.event_shape)

    # --- measuring ---------------------------------------------------------------------------------------------------

    @evaluating
    def predictive_bound(self, x: Tensor) -> dict[str, Tensor]:
        """The bound of new data's log-likelihood and its parts, equation 11: [B] each, in nats.

        Args:
            x: data, [B, \\*event_shape].

        Returns:
            ``reconstruction`` E log p(x | z) at one draw, ``kl_z``, ``kl_r``, and ``bound``, the first less the rest.
        """
        self.observation.check(x)
        codes = self._codes(x)
        kl_z, kl_r = torch.zeros(2, len(x), dtype=torch.float64, device=x.device)
        for (log_gamma, densities, log_weights), (_, scale) in zip(self._beliefs(x), codes, strict=True):
            gamma = log_gamma.exp()
            entropy = (scale.double().log() + 0.5 * (1 + math.log(2 * math.pi))).sum(-1)
            kl_z = kl_z - entropy - (gamma * densities).sum(-1)
            kl_r = kl_r + (torch.xlogy(gamma, gamma) - gamma * log_weights).sum(-1)
        z = torch.cat([dist.Normal(*code).sample() for code in codes], dim=-1)
        reconstruction = self.decode(z).log_prob(x)
        kl_z, kl_r = kl_z.to(x.dtype), kl_r.to(x.dtype)
        bound = reconstruction - kl_z - kl_r
        return {"bound": bound, "reconstruction": reconstruction, "kl_z": kl_z, "kl_r": kl_r}

    def log_weights(self, x: Tensor, num_samples: int) -> Tensor:
        """log p(x | z) + log p(z) - log q(z | x) at the guide's draws, q(xi) fixed: [num_samples, B]."""
        total, parts = x.new_zeros(num_samples, len(x)), []
        for i, q in enumerate(self.encode(x).values()):
            z = q.rsample((num_samples,))
            total = total + self._log_predictive(i, z) - q.log_prob(z)
            parts.append(z)
        return total + self.decode(torch.cat(parts, dim=-1)).log_prob(x)

    def _log_predictive(self, factor: int, z: Tensor) -> Tensor:
        """log sum_k c_k / (sum c) prod_d StudentT(z_d), [\\*] for z [\\*, D], one component at a time."""
        log_weights = self.weights[factor].predictive().logits
        total = z.new_full(z.shape[:-1], -math.inf)
        for k, log_weight in enumerate(log_weights):
            density = self._predictive(factor, torch.tensor(k)).log_prob(z)
            total = torch.logaddexp(total, log_weight + density)
        return total

    @torch.no_grad()
    def counts(self) -> list[Tensor]:
        """How many data each component of each factor stands for, c_ik - c_0: [K_i] each."""
        return [weights.natural - weights.prior_natural for weights in self._inferred()]

    def pruned(self) -> list[list[int]]:
        """The components of each factor that stand for less than one datum."""
        return [(counts < ONE_DATUM).nonzero().flatten().tolist() for counts in self.counts()]

    def _inferred(self) -> list[Any]:
        if not all(hasattr(weights, "natural") for weights in self.weights):
            raise ValueError('pruned: only where xi has a posterior (xi="posterior")')
        return list(self.weights)
