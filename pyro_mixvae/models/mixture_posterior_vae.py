"""The VAE whose posterior is a mixture over the data (Rivera, *How to train your VAE*)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import pyro_method
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyro_mixvae.distributions.precision import as_precise
from pyro_mixvae.infer import AggregateKL, AggregatePosterior_ELBO, IndividualKL
from pyro_mixvae.infer.update import Batch, Terms, Update
from pyro_mixvae.models.base import MixtureVAE, evaluating
from pyro_mixvae.nn import NetworkSpec, diagonal_normal, statistics_untouched
from pyro_mixvae.priors import StandardNormal


class MixturePosteriorVAE(MixtureVAE):
    r"""A VAE that compares the whole batch of posteriors with its prior, and may be trained against a discriminator.

    .. math::

        z \sim \mathcal{N}(0, I), \qquad x \mid z \sim \mathrm{Laplace}\big(x'(z), b\big), \qquad
        q(z \mid x) = \mathcal{N}\big(\mu(x), \operatorname{diag} \sigma^2(x)\big)

    with :math:`b = n / \beta_3` for n values in a datum. Minimised, for each datum, are

    .. math:: \beta_1 KL_G + \beta_2 KL_I + \beta_3 \,\overline{|x - x'|} + \beta_4 H[1, D(x')]

    up to a constant of the likelihood, and in turn the discriminator's :math:`\beta_4 (H[1, D(x)] + H[0, D(x')])`.
    :math:`KL_G` is the KL divergence to the prior of the Gaussian that has the moments of the batch's mixture of
    posteriors, :math:`KL_I` keeps each posterior's variances from collapsing, and H is the mean binary cross-entropy
    over the discriminator's patches. The adversarial term is a factor of the model, and the discriminator's parameters
    need a gradient only while its own update is made, so that any way of training the pair leaves it alone.

    The standard VAE beside it is the same pair without adversary, under ``TraceDivergence_ELBO({"z": KL()})``.

    Sites: data ``x``, latent ``z``, the factor ``adversary``.

    Args:
        event_shape: shape of one datum.
        latent_dim: dimension of z.
        encoder: network [\*event_shape] -> [2 latent_dim], by description or as a module.
        decoder: network [latent_dim] -> [1, \*event_shape].
        discriminator: network from data [\*, \*event_shape] to the log-odds that each patch is real, [\*, ...].
        adversarial: train against the discriminator; without it there is none, and the last term is left out.
        beta1: weight of KL_G.
        beta2: weight of KL_I; 0.5 is the paper's equation 21 read literally.
        beta3: weight of the mean absolute error of a datum's values.
        beta4: weight of the adversarial terms.
        moments: of the batch, ``"exact"``, ``"sampled"`` (the paper's) or ``"means"`` (its author's code).
        num_particles: Monte Carlo samples of the objective.

    Raises:
        ValueError: for sizes below 1, a negative weight, beta3 = 0, or unknown moments.

    Example:
        >>> small = {"kind": "resnet-encoder", "channels": 8}, {"kind": "resnet-decoder", "channels": 8}
        >>> model = MixturePosteriorVAE((1, 8, 8), 2, *small, {"kind": "patchgan", "channels": 8})
        >>> sorted(model.terms(torch.rand(5, 1, 8, 8)))
        ['adversary', 'aggregate_kl', 'individual_kl', 'reconstruction']

    Source: equations 15 to 24 and algorithm 1, with the corrections listed in the specification.
    """

    term_names: ClassVar[Mapping[str, str]] = {
        "x": "reconstruction",
        "z_aggregate": "aggregate_kl",
        "z_individual": "individual_kl",
        "adversary": "adversary",
    }
    _generated: Tensor
    objective_options: ClassVar[tuple[str, ...]] = ("beta1", "beta2", "beta3", "beta4", "moments", "num_particles")

    def __init__(
        self,
        event_shape: Sequence[int],
        latent_dim: int = 512,
        encoder: NetworkSpec = {"kind": "resnet-encoder", "channels": 128},  # noqa: B006 (never changed)
        decoder: NetworkSpec = {"kind": "resnet-decoder", "channels": 128},  # noqa: B006
        discriminator: NetworkSpec = {"kind": "patchgan", "channels": 128},  # noqa: B006
        adversarial: bool = True,
        beta1: float = 1.0,
        beta2: float = 1.0,
        beta3: float = 5000.0,
        beta4: float = 100.0,
        moments: Literal["exact", "sampled", "means"] = "exact",
        num_particles: int = 1,
    ) -> None:
        for name, weight in {"beta1": beta1, "beta2": beta2, "beta3": beta3, "beta4": beta4}.items():
            if not 0 <= weight < math.inf or (name == "beta3" and not weight):
                raise ValueError(f"{name}: expected a finite number {'>' if name == 'beta3' else '>='} 0, got {weight}")
        super().__init__(event_shape, {"name": "laplace", "scale": math.prod(event_shape) / beta3})
        for name, size in {"latent_dim": latent_dim, "num_particles": num_particles}.items():
            if size < 1:
                raise ValueError(f"{name}: expected an integer >= 1, got {size}")
        AggregateKL(moments)
        self.latent_dim, self.num_particles, self.moments = latent_dim, num_particles, moments
        self.beta1, self.beta2, self.beta3, self.beta4 = beta1, beta2, beta3, beta4
        self.adversarial = adversarial

        self.encoder = self._network("encoder", encoder, self.event_shape, (2 * latent_dim,))
        self.decoder = self._network("decoder", decoder, (latent_dim,), self.observation.raw_shape)
        self.prior = StandardNormal(latent_dim)
        self.discriminator: nn.Module | None = None
        if adversarial:
            self.discriminator = self._network("discriminator", discriminator, self.event_shape, ())
            self.discriminator.requires_grad_(False)
            # a buffer, so that a compiled loss writes and reads the x' of its own step
            self.register_buffer("_generated", torch.empty(0, *self.event_shape), persistent=False)
        elif isinstance(discriminator, Mapping):
            self.network_specs["discriminator"] = dict(discriminator)

    # --- the pair ----------------------------------------------------------------------------------------------------

    @pyro_method
    def model(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """p(z) p(x | z) for data [B, \\*event_shape], times the adversarial factor; labels are not used."""
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", self.prior())
            likelihood = self.decode(z)
            if self.adversarial:
                with statistics_untouched(self._judge):
                    realism = self.cross_entropy(likelihood.mean, real=True)
                pyro.factor("adversary", -self.beta4 * realism)
            return pyro.sample("x", likelihood, obs=x)

    @pyro_method
    def guide(self, x: Tensor, y: Tensor | None = None) -> None:
        """q(z | x)."""
        with pyro.plate("data", len(x)):
            pyro.sample("z", self.encode(x))

    def objective(self) -> AggregatePosterior_ELBO:
        """What encoder and decoder minimise: equation 23 with its signs put right."""
        return AggregatePosterior_ELBO(
            self.beta1 * AggregateKL(self.moments), self.beta2 * IndividualKL(), num_particles=self.num_particles
        )

    def updates(self) -> list[Update]:
        """Algorithm 1: the generator's step, then the discriminator's, both by gradients at the old parameters.

        Without adversary there is nothing but the objective, and the list is empty.
        """
        if not self.adversarial:
            return []
        generator = [*self.encoder.parameters(), *self.decoder.parameters()]
        return [
            Update(
                "generator",
                [parameter for parameter in generator if parameter.requires_grad],
                partial(self._generator_loss, self.objective()),
            ),
            Update("discriminator", list(self._judge.parameters()), self._discriminator_loss),
        ]

    def _generator_loss(self, objective: AggregatePosterior_ELBO, batch: Batch) -> tuple[Tensor, Terms]:
        """The objective per datum with its terms; x' is kept for the discriminator."""
        decoded = _Decoded()
        with decoded:
            loss, terms = objective.loss_and_terms(self.model, self.guide, *batch)
        if self._generated.shape != decoded.mean.shape:
            self._generated = torch.empty_like(decoded.mean)
        self._generated.copy_(decoded.mean)
        num_data, names = len(batch[0]), self.term_names
        return loss / num_data, {names[site]: terms[site].detach() / num_data for site in names if site in terms}

    def _discriminator_loss(self, batch: Batch) -> tuple[Tensor, Terms]:
        """beta4 (H[1, D(x)] + H[0, D(x')]) for the x' that the generator's loss has made of the same batch."""
        x = batch[0]
        if self._generated.shape[-x.dim() :] != x.shape:
            raise RuntimeError("the discriminator's loss needs the x' of the generator's; call that one first")
        real = self.beta4 * self.cross_entropy(x, real=True).mean()
        generated = self.beta4 * self.cross_entropy(self._generated, real=False).mean()
        return real + generated, {"discriminator_real": real.detach(), "discriminator_generated": generated.detach()}

    # --- its parts ---------------------------------------------------------------------------------------------------

    # networks may compute in half precision; densities, logarithms and sums are in the data's own type

    def encode(self, x: Tensor) -> dist.TorchDistribution:
        """q(z | x): batch shape [B], event shape [latent_dim]."""
        return diagonal_normal(as_precise(self.encoder(x), x))

    def decode(self, z: Tensor) -> dist.TorchDistribution:
        """p(x | z), Laplacian: batch shape [\\*], event shape ``event_shape``, for z [\\*, latent_dim]."""
        return self.observation(self.decoder(z).to(z.dtype))

    def cross_entropy(self, x: Tensor, real: bool) -> Tensor:
        """H[1, D(x)] if ``real``, else H[0, D(x)]: the mean over the patches, [\\*] for x [\\*, \\*event_shape].

        Raises:
            ValueError: for a model without discriminator.
        """
        leading = x.shape[: x.dim() - len(self.event_shape)]
        log_odds = as_precise(self._judge(x), x).reshape(*leading, -1)
        return softplus(-log_odds if real else log_odds).mean(-1)

    @property
    def _judge(self) -> nn.Module:
        """The discriminator, past Pyro's attribute access, which would hand its parameters to an SVI around."""
        if not self.adversarial:
            raise ValueError("adversarial: the model was made with adversarial=False and has no discriminator")
        return self._modules["discriminator"]

    # --- what one does with it ---------------------------------------------------------------------------------------

    @evaluating
    def reconstruct(self, x: Tensor) -> Tensor:
        """The mean of p(x | z) at the posterior mean of z: [B, \\*event_shape]."""
        self.observation.check(x)
        return self.decode(self.encode(x).mean).mean

    @evaluating
    def sample(self, n: int, component: int | None = None) -> Tensor:
        """The decoder's mean at n draws from the prior: [n, \\*event_shape].

        Raises:
            ValueError: for n below 1, or a component: the prior has none.
        """
        if n < 1:
            raise ValueError(f"n: expected an integer >= 1, got {n}")
        if component is not None:
            raise ValueError(f"component: the prior is one Gaussian and has no components, got {component}")
        return self.decode(self.prior().sample((n,))).mean

    @evaluating
    def variants(self, x: Tensor, axes: Sequence[int] = (0, 1), deltas: Sequence[float] = (-20.0, 0.0, 20.0)) -> Tensor:
        r"""Data decoded at :math:`\mu + \delta \sigma` along two latent axes, the paper's figure 4.

        Args:
            x: data, [B, \*event_shape].
            axes: the two axes, in 0..latent_dim-1: the first from row to row, the second from column to column.
            deltas: how many standard deviations from the mean, for either.

        Returns:
            [B, D, D, \*event_shape] for D deltas.

        Raises:
            ValueError: for other than two axes, or an axis that there is not.
        """
        self.observation.check(x)
        if len(set(axes)) != 2 or not all(0 <= axis < self.latent_dim for axis in axes):
            raise ValueError(f"axes: expected two different ones of 0..{self.latent_dim - 1}, got {tuple(axes)}")
        base = self.encode(x).base_dist
        shifts = base.loc.new_tensor(list(deltas))
        z = base.loc[:, None, None].repeat(1, len(shifts), len(shifts), 1)
        first, second = axes
        z[..., first] += shifts[:, None] * base.scale[:, first, None, None]
        z[..., second] += shifts * base.scale[:, second, None, None]
        return self.decode(z).mean

    @evaluating
    def transitions(self, x: Tensor, other: Tensor, num_steps: int = 6) -> Tensor:
        """Decoded points of the straight way from the posterior means of x to those of others, the paper's figure 5.

        Args:
            x: where it starts, [B, \\*event_shape].
            other: where it ends, [B, \\*event_shape].
            num_steps: points of each way, its two ends among them.

        Returns:
            [B, num_steps, \\*event_shape].

        Raises:
            ValueError: for another number of ends than of starts, or fewer than 2 steps.
        """
        self.observation.check(x)
        self.observation.check(other, "other")
        if len(x) != len(other):
            raise ValueError(f"other: expected {len(x)} data, one for each of x, got {len(other)}")
        if num_steps < 2:
            raise ValueError(f"num_steps: expected an integer >= 2, got {num_steps}")
        start, end = (self.encode(data).mean.unsqueeze(1) for data in (x, other))
        alpha = torch.linspace(0, 1, num_steps, dtype=x.dtype, device=x.device).unsqueeze(-1)
        return self.decode((1 - alpha) * start + alpha * end).mean

    def log_weights(self, x: Tensor, num_samples: int) -> Tensor:
        """log p(x | z) p(z) - log q(z | x) at the guide's draws, without the adversarial factor: [num_samples, B]."""
        posterior = self.encode(x)
        z = posterior.rsample((num_samples,))
        return self.decode(z).log_prob(x) + self.prior().log_prob(z) - posterior.log_prob(z)


class _Decoded(Messenger):
    """Listens to a model and keeps the mean of p(x | z), detached."""

    mean: Tensor

    def _pyro_post_sample(self, message: Any) -> None:
        if message["name"] == "x":
            self.mean = message["fn"].mean.detach()
