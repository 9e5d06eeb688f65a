"""A classifier without a decoder: what semi-supervised models are compared with, and whose features measure images."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pyro
import pyro.distributions as dist
from pyro import poutine
from pyro.nn import pyro_method
from torch import Tensor, nn

from pyro_mixvae.distributions.precision import as_precise
from pyro_mixvae.infer import TraceDivergence_ELBO
from pyro_mixvae.models.base import evaluating
from pyro_mixvae.models.checks import check_sizes
from pyro_mixvae.models.own_name import OwnName
from pyro_mixvae.models.semi_supervised_labels import BinaryLabels, ClassLabels, Labels
from pyro_mixvae.nn import NetworkSpec, build_network
from pyro_mixvae.nn.features import build_features


class Classifier(OwnName):
    r"""p(y | x) by features of x, trained by maximum likelihood on the data that have a label.

    .. math:: y \sim \mathrm{Cat}\big(c(h(x))\big)

    With the networks of a :class:`~pyro_mixvae.models.SemiSupervisedCSRAE` it is the q(y | x) of that model trained by
    itself. Its :meth:`features` can stand in for the Inception network's where images are measured.

    Args:
        event_shape: shape of one datum.
        num_classes: C, for labels that are classes, [B].
        num_labels: L, for yes-or-no labels, [B, L]; one of the two is given.
        encoder: network [\*event_shape] -> [feature_dim] whose last layer is activated too.
        feature_dim: how many features.
        classifier: network [feature_dim] -> [C or L].

    Raises:
        ValueError: for sizes below 1, or unless one of ``num_classes`` and ``num_labels`` is given.

    Example:
        >>> import torch
        >>> model = Classifier((1, 8, 8), num_classes=10)
        >>> model.features(torch.rand(5, 1, 8, 8)).shape
        torch.Size([5, 300])
    """

    term_names: ClassVar[Mapping[str, str]] = {"y": "classification"}
    objective_options: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        event_shape: Sequence[int],
        num_classes: int | None = None,
        num_labels: int | None = None,
        encoder: NetworkSpec = {"kind": "mlp", "hidden_dims": [300]},  # noqa: B006 (never changed)
        feature_dim: int = 300,
        classifier: NetworkSpec = {"kind": "mlp", "hidden_dims": [300]},  # noqa: B006
    ) -> None:
        super().__init__()
        if (num_classes is None) == (num_labels is None):
            raise ValueError(
                f"num_classes: expected either num_classes or num_labels, got {num_classes} and {num_labels}"
            )
        check_sizes(feature_dim=feature_dim, num_classes=num_classes or 1, num_labels=num_labels or 1)
        self.event_shape = tuple(int(size) for size in event_shape)
        self.num_classes, self.num_labels, self.feature_dim = num_classes, num_labels, feature_dim
        self.labels: Labels = BinaryLabels(num_labels, 1.0, 1.0) if num_labels else ClassLabels(num_classes or 2, 1.0)
        self.network_specs = {
            name: dict(spec)
            for name, spec in {"encoder": encoder, "classifier": classifier}.items()
            if isinstance(spec, Mapping)
        }
        self.encoder = build_features(encoder, self.event_shape, feature_dim, "encoder")
        self.classifier = build_network(classifier, (feature_dim,), (self.labels.size,), "classifier")

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments, without networks that were passed as modules."""
        names = [name for name in inspect.signature(type(self).__init__).parameters if name != "self"]
        arguments = {name: self.network_specs.get(name, getattr(self, name)) for name in names}
        return {name: value for name, value in arguments.items() if not isinstance(value, nn.Module)}

    @pyro_method
    def model(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """p(y | x) for data [B, \\*event_shape]; labels that are -1 are left out."""
        logits = self._logits(x)
        with pyro.plate("data", len(x)):
            if y is None:
                return pyro.sample("y", self._label(logits))
            with poutine.mask(mask=self.labels.known(y)):
                if self.num_labels is None:
                    return pyro.sample("y", self._label(logits), obs=y.clamp(min=0))
                every = dist.Bernoulli(logits=logits).mask(y >= 0).to_event(1)
                return pyro.sample("y", every, obs=y.clamp(min=0).to(logits))

    @pyro_method
    def guide(self, x: Tensor, y: Tensor | None = None) -> None:
        """Nothing is latent."""

    def objective(self) -> TraceDivergence_ELBO:
        """The log-likelihood of the labels, in nats."""
        return TraceDivergence_ELBO(max_plate_nesting=1)

    def _logits(self, x: Tensor) -> Tensor:
        # networks may compute in half precision; probabilities are in the data's own type
        return as_precise(self.classifier(self.encoder(x)), x)

    def _label(self, logits: Tensor) -> dist.TorchDistribution:
        if self.num_labels is None:
            return dist.Categorical(logits=logits)
        return dist.Bernoulli(logits=logits).to_event(1)

    def check(self, x: Tensor, y: Tensor | None = None, num_classes: int | None = None) -> None:
        """Refuse data of another shape, and labels outside their range.

        Raises:
            ValueError: for those.
        """
        if x.shape[1:] != self.event_shape or not x.dim():
            raise ValueError(f"x: expected shape [B, {', '.join(map(str, self.event_shape))}], got {list(x.shape)}")
        if y is not None:
            self.labels.check(y, len(x))

    def check_training(self, y: Tensor | None) -> None:
        """Refuse training data without any label.

        Raises:
            ValueError: for those.
        """
        self.labels.check_some(y)

    @evaluating
    def predict_proba(self, x: Tensor) -> Tensor:
        """p(y | x): [B, C] with rows that sum to one; of yes-or-no labels [B, L], each the probability of a yes."""
        self.check(x)
        return self.labels.probabilities(self._logits(x))

    @evaluating
    def features(self, x: Tensor) -> Tensor:
        """What the last layer but the classifier's sees in data [B, \\*event_shape]: [B, feature_dim]."""
        self.check(x)
        return as_precise(self.encoder(x), x)
