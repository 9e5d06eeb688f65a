"""The semi-supervised Cauchy-Schwarz regularised autoencoder, and what is Kingma's M2 but for two terms' weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import pyro_method
from torch import Tensor

from pyro_mixvae.distributions.precision import as_precise
from pyro_mixvae.infer import DivergenceSpec, SiteDivergence, TraceDivergence_ELBO, build_divergence
from pyro_mixvae.models.base import MixtureVAE, evaluating
from pyro_mixvae.models.checks import check_positive, check_sizes
from pyro_mixvae.models.csrae import CSRAE
from pyro_mixvae.models.semi_supervised_labels import BinaryLabels, ClassLabels, Labels
from pyro_mixvae.models.semi_supervised_objective import SemiSupervisedELBO
from pyro_mixvae.models.semi_supervised_pretraining import UnlabelledPhase
from pyro_mixvae.nn import NetworkSpec, diagonal_normal
from pyro_mixvae.nn.features import build_features
from pyro_mixvae.nn.two_inputs import side_by_side
from pyro_mixvae.priors import PriorSpec, build_prior


class SemiSupervisedCSRAE(CSRAE):
    r"""An autoencoder of data of which some have labels, and a classifier that learns from all of them.

    .. math::

        y \sim p(y), \quad z \sim p(z), \quad x \mid z, y \sim p(x \mid z, y), \qquad
        q(y \mid x) \, q(z \mid x, y)

    The objective, maximised, of a datum with a label and of one without is

    .. math::

        \mathcal{L}(x, y) &= \mathbb{E}_q \log p(x \mid z, y) - \lambda D\big(q(z \mid x, y), p(z)\big)
            - \beta KL\big(q(y \mid x) \,\|\, p(y)\big) + \alpha \log q(y \mid x) \\
        \mathcal{U}(x) &= \sum_y q(y \mid x) \Big[ \mathbb{E}_q \log p(x \mid z, y)
            - \lambda D\big(q(z \mid x, y), p(z)\big) \Big] - \beta KL\big(q(y \mid x) \,\|\, p(y)\big)

    and the mean of the one over the labelled data plus the mean of the other over the rest is trained. p(y) is
    uniform. A class that is missing (-1) is summed out by Pyro's enumeration. Of L yes-or-no labels, y is [B, L] of 0,
    1 and -1; missing ones are drawn relaxed, and the divergence is that of the unrelaxed probabilities.

    With ``divergence="kl"``, ``prior="standard-normal"`` and ``scale=beta=1`` it is Kingma's M2 up to the labelled
    term's KL, which M2 has not, and the weighting, since M2 sums over all data. With ``prior="vamp"`` it is the
    semi-supervised VampPrior-VAE, whose components are :math:`q(z \mid u_k, y)` at the expected label of the
    pseudo-input :math:`u_k` (ours).

    Sites: data ``x``, latent ``z``, label ``y`` (``y_observed`` and ``y_unobserved`` where some labels are given); the
    guide's factors ``y_entropy`` or ``y_divergence``, and ``classification``.

    Args:
        event_shape: shape of one datum.
        num_classes: C, for labels that are classes.
        num_labels: L, for yes-or-no labels; one of the two is given.
        latent_dim: dimension of z.
        num_components: K, for a mixture prior.
        likelihood: as for :class:`~pyro_mixvae.models.VAE`.
        prior: likewise.
        divergence: of z; ``"cauchy-schwarz"`` where none is named.
        scale: lambda.
        beta: weight of the labels' divergence, > 0.
        alpha: weight of the classification of labelled data.
        temperature: of the relaxed labels.
        encoder: network [\*event_shape] -> [feature_dim] whose last layer is activated too: the paper's h_x.
        feature_dim: how many features of x.
        label_encoder: network [C or L] -> [label_dim], likewise: the paper's h_y.
        label_dim: how many features of y.
        classifier: network [feature_dim] -> [C or L].
        posterior: network [feature_dim + label_dim] -> [2 latent_dim].
        decoder: network [latent_dim + label_dim] -> the likelihood's parameters.
        num_particles: Monte Carlo samples of the objective.

    Raises:
        ValueError: for sizes below 1, weights outside their range, an unknown choice, or unless one of
            ``num_classes`` and ``num_labels`` is given.

    Example:
        >>> model = SemiSupervisedCSRAE((1, 8, 8), num_classes=10, prior="gaussian-mixture", num_components=5)
        >>> x, y = torch.rand(4, 1, 8, 8), torch.tensor([3, -1, -1, 7])
        >>> model.predict_proba(x).shape
        torch.Size([4, 10])
        >>> list(model.terms(x, y))
        ['reconstruction', 'divergence', 'label_divergence', 'classification']

    Source: Tran, Pantic, Deisenroth, section 3.3 and table VI; equations 25 to 27 corrected. Kingma et al. (2014).
    """

    term_names: ClassVar[Mapping[str, str]] = {
        "x": "reconstruction",
        "z": "divergence",
        "y": "label_divergence",
        "classification": "classification",
    }
    objective_options: ClassVar[tuple[str, ...]] = ("divergence", "scale", "beta", "alpha", "num_particles")

    def __init__(
        self,
        event_shape: Sequence[int],
        num_classes: int | None = None,
        num_labels: int | None = None,
        latent_dim: int = 20,
        num_components: int | None = None,
        likelihood: str | Mapping[str, Any] = "bernoulli",
        prior: PriorSpec = "standard-normal",
        divergence: DivergenceSpec | None = None,
        scale: float = 1.0,
        beta: float = 1.0,
        alpha: float = 100.0,
        temperature: float = 0.5,
        encoder: NetworkSpec = {"kind": "mlp", "hidden_dims": [300]},  # noqa: B006 (never changed)
        feature_dim: int = 300,
        label_encoder: NetworkSpec = {"kind": "mlp", "hidden_dims": [256]},  # noqa: B006
        label_dim: int = 256,
        classifier: NetworkSpec = {"kind": "mlp", "hidden_dims": [300]},  # noqa: B006
        posterior: NetworkSpec = {"kind": "mlp", "hidden_dims": [300]},  # noqa: B006
        decoder: NetworkSpec = {"kind": "mlp", "hidden_dims": [300, 300]},  # noqa: B006
        num_particles: int = 1,
    ) -> None:
        # the parent's networks do not know of labels
        MixtureVAE.__init__(self, event_shape, likelihood)
        if (num_classes is None) == (num_labels is None):
            raise ValueError(
                f"num_classes: expected either num_classes or num_labels, got {num_classes} and {num_labels}"
            )
        check_sizes(latent_dim=latent_dim, num_particles=num_particles, feature_dim=feature_dim, label_dim=label_dim)
        check_positive(beta=beta, temperature=temperature)
        for name, weight in {"scale": scale, "alpha": alpha}.items():
            if not 0 <= weight < math.inf:
                raise ValueError(f"{name}: expected a finite number >= 0, got {weight}")
        if num_labels is None:
            assert num_classes is not None
            if num_classes < 2:
                raise ValueError(f"num_classes: expected an integer >= 2, got {num_classes}")
            self.labels: Labels = ClassLabels(num_classes, beta)
        else:
            check_sizes(num_labels=num_labels)
            self.labels = BinaryLabels(num_labels, beta, temperature)
        self.num_classes, self.num_labels, self.latent_dim = num_classes, num_labels, latent_dim
        self.divergence = self.default_divergence if divergence is None else divergence
        self.scale, self.beta, self.alpha, self.temperature = scale, beta, alpha, temperature
        self.feature_dim, self.label_dim, self.num_particles = feature_dim, label_dim, num_particles

        size = self.labels.size
        for name, spec, shape, dim in (
            ("encoder", encoder, self.event_shape, feature_dim),
            ("label_encoder", label_encoder, (size,), label_dim),
        ):
            setattr(self, name, build_features(spec, shape, dim, name))
            if isinstance(spec, Mapping):
                self.network_specs[name] = dict(spec)
        self.classifier = self._network("classifier", classifier, (feature_dim,), (size,))
        self.posterior = self._network("posterior", posterior, (feature_dim + label_dim,), (2 * latent_dim,))
        self.decoder = self._network("decoder", decoder, (latent_dim + label_dim,), self.observation.raw_shape)
        low, high = self.observation.low, self.observation.high
        self.prior = build_prior(prior, latent_dim, self.event_shape, num_components, low, high)
        self.num_components: int | None = getattr(self.prior, "num_components", None)
        if not isinstance(prior, torch.nn.Module):
            self.network_specs["prior"] = prior
        self.objective()  # an unknown divergence is refused here

    # --- the pair ----------------------------------------------------------------------------------------------------

    @pyro_method
    def model(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """p(y) p(z) p(x | z, y) for data [B, \\*event_shape] and labels, -1 where missing."""
        with pyro.plate("data", len(x)):
            label = self.labels.draw_in_model(y, x)
            z = pyro.sample("z", self.latent_prior())
            return pyro.sample("x", self._decode(z, self._vectors(label, x)), obs=x)

    @pyro_method
    def guide(self, x: Tensor, y: Tensor | None = None) -> None:
        """q(y | x) q(z | x, y), a point at the labels that there are; and what training charges for those."""
        features, logits = self._features_and_logits(x)
        with pyro.plate("data", len(x)):
            label = self.labels.draw_in_guide(y, logits)
            pyro.sample("z", self._posterior(features, self._vectors(label, x)))
            if y is not None:
                cost = self.alpha * self.labels.negative_log_prob(y, logits)
                pyro.factor("classification", cost, has_rsample=True)

    def _objective(self, scale: float) -> SemiSupervisedELBO:
        return SemiSupervisedELBO(self._weighted(scale), self.labels.known, self.num_particles)

    def _weighted(self, scale: float) -> dict[str, SiteDivergence]:
        divergence = build_divergence(self.divergence)
        return {"z": divergence if scale == 1 else scale * divergence}

    def objective_without_labels(self) -> TraceDivergence_ELBO:
        """Reconstruction less the weighted divergence of z, for :meth:`pretraining`."""
        return TraceDivergence_ELBO(self._weighted(self.scale), num_particles=self.num_particles, max_plate_nesting=1)

    def pretraining(self) -> UnlabelledPhase:
        """The first of two phases: the autoencoder alone, for :func:`~pyro_mixvae.training.fit`."""
        return UnlabelledPhase(self)

    # --- its parts ---------------------------------------------------------------------------------------------------

    # networks may compute in half precision; densities, logarithms and sums are in the data's own type

    def _vectors(self, label: Tensor, like: Tensor) -> Tensor:
        return self.labels.vectors(label).to(like)

    def _features_and_logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the networks see of x, [B, feature_dim], and what the classifier says of it, [B, size]."""
        features = self.encoder(x)
        return features, as_precise(self.classifier(features), x)

    def _posterior(self, features: Tensor, vectors: Tensor) -> dist.Independent:
        """q(z | x, y) for features of x [\\*, feature_dim] and label vectors [\\*, size]."""
        label = self.labels.features(self.label_encoder, vectors)
        return diagonal_normal(side_by_side(self.posterior, features, label).to(vectors.dtype))

    def _decode(self, z: Tensor, vectors: Tensor) -> dist.TorchDistribution:
        """p(x | z, y) for codes [\\*, latent_dim] and label vectors [\\*, size]."""
        label = self.labels.features(self.label_encoder, vectors)
        return self.observation(side_by_side(self.decoder, z, label).to(z.dtype))

    def encode(self, x: Tensor, y: Tensor | None = None) -> dist.Independent:
        """q(z | x, y): batch shape [B], event shape [latent_dim].

        Args:
            x: data, [B, \\*event_shape].
            y: labels; None and -1: the most probable one under q(y | x).

        Raises:
            ValueError: for labels outside their range, or of another number than the data.
        """
        if y is not None:
            self.labels.check(y, len(x))
        return self._posterior(*self._features_and_vectors(x, y))

    def _features_and_vectors(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """Features of x and label vectors, the most probable label where y is missing."""
        features, logits = self._features_and_logits(x)
        label = self.labels.most_probable(logits)
        if y is not None:
            label = torch.where(y >= 0, y, label)
        return features, self._vectors(label, x)

    def decode(self, z: Tensor, y: Tensor | None = None) -> dist.TorchDistribution:
        """p(x | z, y): batch shape [\\*], event shape ``event_shape``.

        Args:
            z: codes, [\\*, latent_dim].
            y: labels; None: the networks are shown the average label of p(y).
        """
        vectors = self.labels.average().to(z) if y is None else self._vectors(y, z)
        return self._decode(z, vectors)

    def latent_prior(self) -> dist.TorchDistribution:
        """p(z): batch shape [], event shape [latent_dim]."""
        return self.prior(self._expected_posterior) if getattr(self.prior, "needs_encoder", False) else self.prior()

    def _expected_posterior(self, x: Tensor) -> dist.Independent:
        features, logits = self._features_and_logits(x)
        return self._posterior(features, self.labels.probabilities(logits))

    # --- what one does with it ---------------------------------------------------------------------------------------

    def check(self, x: Tensor, y: Tensor | None = None, num_classes: int | None = None) -> None:
        """As the base class; labels lie in -1..C-1 of the model's own C, or are [B, L] in -1..1."""
        self.observation.check(x)
        if y is None:
            return
        if y.shape[:1] != x.shape[:1]:
            raise ValueError(f"y: expected one label for each of {len(x)} data, got shape {list(y.shape)}")
        self.labels.check(y, len(x))

    def check_training(self, y: Tensor | None) -> None:
        """Refuse training data without any label.

        Raises:
            ValueError: for no labels, or none but -1.
        """
        self.labels.check_some(y)

    @evaluating
    def predict_proba(self, x: Tensor) -> Tensor:
        """q(y | x): [B, C] with rows that sum to one; of yes-or-no labels [B, L], each the probability of a yes.

        Raises:
            ValueError: for data outside the likelihood's support.
        """
        self.observation.check(x)
        return self.labels.probabilities(self._features_and_logits(x)[1])

    @evaluating
    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The mean of p(x | z, y) at the posterior mean of z: [B, \\*event_shape]; y as in :meth:`encode`."""
        self.check(x, y)
        features, vectors = self._features_and_vectors(x, y)
        return self._decode(self._posterior(features, vectors).mean, vectors).mean

    @evaluating
    def sample(self, n: int, component: int | None = None, y: Tensor | None = None) -> Tensor:
        """The decoder's mean at draws from the prior: [n, \\*event_shape].

        Args:
            n: how many.
            component: draw z from this component of a mixture prior only, 0..K-1; None: from the whole prior.
            y: labels, [n] or [n, L]; None: drawn from p(y).

        Raises:
            ValueError: for n below 1, a component that there is not, or labels outside their range.
        """
        if n < 1:
            raise ValueError(f"n: expected an integer >= 1, got {n}")
        prior: Any = self.latent_prior()
        if component is not None:
            self._check_component(component)
            prior = prior.component(component)
        z = prior.sample((n,))
        if y is None:
            y = self.labels.sample(n).to(z.device)
        else:
            self.labels.check(y, n)
            if (y < 0).any():
                raise ValueError("y: expected every label to be given, got -1, which stands for a missing one")
        return self._decode(z, self._vectors(y, z)).mean

    def log_weights(self, x: Tensor, num_samples: int) -> Tensor:
        """log of p(x, y, z) / q(y, z | x) at the guide's draws, classes summed out: [num_samples, B]."""
        features, logits = self._features_and_logits(x)
        y, log_ratio = self.labels.proposals(logits, num_samples)
        vectors = self._vectors(y, x)
        posterior = self._posterior(features, vectors)
        posterior = posterior.expand((num_samples, *posterior.batch_shape[1:]))
        z = posterior.rsample()
        log_joint = self._decode(z, vectors).log_prob(x) + self.latent_prior().log_prob(z)
        return (log_joint - posterior.log_prob(z) + log_ratio).logsumexp(1)
