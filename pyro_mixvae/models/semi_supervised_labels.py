"""What a label is: one of C classes, summed out where it is missing, or L yes-or-no answers, relaxed."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot, softplus

from pyro_mixvae.nn.two_inputs import Mixed

#: The logarithm of no probability at all: exactly 0 after exp in float32, and without the NaN gradients of -inf.
NEVER = -200.0


class Labels(ABC):
    """Labels y of data: their sites in model and guide, and what of the objective is theirs alone.

    Args:
        size: C classes, or L yes-or-no labels: as many numbers come from the classifier and go into its networks.
        weight: beta of the divergence KL(q(y | x) || p(y)).
    """

    def __init__(self, size: int, weight: float) -> None:
        self.size, self.weight = size, weight

    @abstractmethod
    def check(self, y: Tensor, num_data: int) -> None:
        """Refuse labels of another shape or outside their range; -1 stands for a missing one."""

    def check_some(self, y: Tensor | None) -> None:
        """Refuse training data of which none has a label.

        Raises:
            ValueError: for those.
        """
        if y is None or not self.known(y).any():
            found = "no labels" if y is None else f"-1, a missing one, for all {len(y)} data"
            raise ValueError(f"y: expected labels for some of the training data, got {found}")

    @abstractmethod
    def known(self, y: Tensor) -> Tensor:
        """Which data have a label, [B]."""

    @abstractmethod
    def draw_in_model(self, y: Tensor | None, like: Tensor) -> Tensor:
        """The model's sites of y for a batch [B]: labels that broadcast to it, observed where they are known."""

    @abstractmethod
    def draw_in_guide(self, y: Tensor | None, logits: Tensor) -> Tensor:
        """The guide's sites of y for the classifier's outputs [B, size], and the factors of what is known."""

    @abstractmethod
    def vectors(self, y: Tensor) -> Tensor:
        """Labels as vectors [\\*, size]."""

    @abstractmethod
    def features(self, network: nn.Module, vectors: Tensor) -> Tensor | Mixed:
        """What the other networks are shown of the label, from its vector."""

    @abstractmethod
    def probabilities(self, logits: Tensor) -> Tensor:
        """q(y | x), [\\*, size]."""

    @abstractmethod
    def most_probable(self, logits: Tensor) -> Tensor:
        """The label that the classifier would give."""

    @abstractmethod
    def kl(self, logits: Tensor) -> Tensor:
        """KL(q(y | x) || p(y)) with p(y) uniform, [\\*], in nats."""

    @abstractmethod
    def negative_log_prob(self, y: Tensor, logits: Tensor) -> Tensor:
        """-log q(y | x) of the labels that are known, 0 of those that are not, [B], in nats."""

    @abstractmethod
    def average(self) -> Tensor:
        """E y under p(y), [size]."""

    @abstractmethod
    def sample(self, n: int) -> Tensor:
        """Labels from p(y)."""

    @abstractmethod
    def proposals(self, logits: Tensor, num_samples: int) -> tuple[Tensor, Tensor]:
        """Labels [1, C, 1], all of them, or [S, 1, B, L], drawn from q; and log p(y) or log p(y) / q(y | x)."""


class ClassLabels(Labels):
    """One of C classes: [B] integers. Missing ones are enumerated by Pyro."""

    def check(self, y: Tensor, num_data: int) -> None:
        if tuple(y.shape) != (num_data,):
            raise ValueError(f"y: expected one class for each of {num_data} data, got shape {list(y.shape)}")
        _check_range(y, self.size)

    def known(self, y: Tensor) -> Tensor:
        return y >= 0

    def draw_in_model(self, y: Tensor | None, like: Tensor) -> Tensor:
        prior = dist.Categorical(logits=like.new_zeros(self.size))
        observed = {} if y is None else {"obs": y.clamp(min=0), "obs_mask": self.known(y)}
        with poutine.scale(scale=self.weight):
            return pyro.sample("y", prior, infer={"enumerate": "parallel"}, **observed)

    def draw_in_guide(self, y: Tensor | None, logits: Tensor) -> Tensor:
        log_q = logits.log_softmax(-1)
        name, drawn = "y", log_q
        if y is not None:
            # masked out, an enumerated site would count each of its values in full: it is a point at the label
            name, known = "y_unobserved", self.known(y)
            point = torch.where(self._is_label(y), 0.0, NEVER).to(log_q)
            drawn = torch.where(known.unsqueeze(-1), point, log_q)
        with poutine.scale(scale=self.weight):
            value = pyro.sample(name, dist.Categorical(logits=drawn), infer={"enumerate": "parallel"})
            if y is not None:
                # with the observed label's -log p(y) = log C this is KL(q(y | x) || p(y)) there, too
                pyro.factor("y_entropy", known * (log_q.exp() * log_q).sum(-1), has_rsample=True)
        return value if y is None else torch.where(known, y, value)

    def _is_label(self, y: Tensor) -> Tensor:
        return torch.arange(self.size, device=y.device) == y.unsqueeze(-1)

    def vectors(self, y: Tensor) -> Tensor:
        return one_hot(y, self.size)

    def features(self, network: nn.Module, vectors: Tensor) -> Mixed:
        return Mixed(vectors, network(torch.eye(self.size, dtype=vectors.dtype, device=vectors.device)))

    def probabilities(self, logits: Tensor) -> Tensor:
        return logits.softmax(-1)

    def most_probable(self, logits: Tensor) -> Tensor:
        return logits.argmax(-1)

    def kl(self, logits: Tensor) -> Tensor:
        log_q = logits.log_softmax(-1)
        return (log_q.exp() * log_q).sum(-1) + math.log(self.size)

    def negative_log_prob(self, y: Tensor, logits: Tensor) -> Tensor:
        taken = logits.log_softmax(-1).gather(-1, y.clamp(min=0).unsqueeze(-1)).squeeze(-1)
        return -taken * self.known(y)

    def average(self) -> Tensor:
        return torch.full((self.size,), 1 / self.size)

    def sample(self, n: int) -> Tensor:
        return torch.randint(self.size, (n,))

    def proposals(self, logits: Tensor, num_samples: int) -> tuple[Tensor, Tensor]:
        every = torch.arange(self.size, device=logits.device).reshape(1, -1, 1)
        return every, logits.new_tensor(-math.log(self.size))


class BinaryLabels(Labels):
    """L answers, yes or no: [B, L] of 0 and 1. Missing ones are drawn relaxed (Gumbel-Softmax) in training.

    Args:
        size, weight: as the base class.
        temperature: of the relaxed draws.
    """

    def __init__(self, size: int, weight: float, temperature: float) -> None:
        super().__init__(size, weight)
        self.temperature = temperature

    def check(self, y: Tensor, num_data: int) -> None:
        if tuple(y.shape) != (num_data, self.size):
            raise ValueError(f"y: expected shape [{num_data}, {self.size}], got {list(y.shape)}")
        _check_range(y, 2)

    def known(self, y: Tensor) -> Tensor:
        return (y >= 0).any(-1)

    def draw_in_model(self, y: Tensor | None, like: Tensor) -> Tensor:
        return self._draw(y, like.new_zeros(self.size))

    def draw_in_guide(self, y: Tensor | None, logits: Tensor) -> Tensor:
        # the relaxed densities are a device of training: their ratio is masked out, the divergence is the labels' own
        pyro.factor("y_divergence", self.weight * self.kl(logits), has_rsample=True)
        return self._draw(y, logits)

    def _draw(self, y: Tensor | None, logits: Tensor) -> Tensor:
        temperature = logits.new_tensor(self.temperature)
        relaxed: Any = dist.RelaxedBernoulli(temperature, logits=logits).to_event(1)
        value = pyro.sample("y" if y is None else "y_unobserved", relaxed.mask(False))
        return value if y is None else torch.where(y >= 0, y.to(value), value)

    def vectors(self, y: Tensor) -> Tensor:
        return y

    def features(self, network: nn.Module, vectors: Tensor) -> Tensor:
        return network(vectors)

    def probabilities(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()

    def most_probable(self, logits: Tensor) -> Tensor:
        return (logits > 0).long()

    def kl(self, logits: Tensor) -> Tensor:
        entropy = softplus(logits) - logits * logits.sigmoid()
        return (math.log(2) - entropy).sum(-1)

    def negative_log_prob(self, y: Tensor, logits: Tensor) -> Tensor:
        every = binary_cross_entropy_with_logits(logits, y.clamp(min=0).to(logits), reduction="none")
        return (every * (y >= 0)).sum(-1)

    def average(self) -> Tensor:
        return torch.full((self.size,), 0.5)

    def sample(self, n: int) -> Tensor:
        return torch.randint(2, (n, self.size))

    def proposals(self, logits: Tensor, num_samples: int) -> tuple[Tensor, Tensor]:
        q = dist.Bernoulli(logits=logits).to_event(1)
        y = q.sample((num_samples, 1))
        return y, -self.size * math.log(2) - q.log_prob(y)


def _check_range(y: Tensor, num_classes: int) -> None:
    if y.is_floating_point() or y.dtype == torch.bool:
        raise ValueError(f"y: expected integer labels, got {y.dtype}")
    if y.numel() and (y.min() < -1 or y.max() >= num_classes):
        raise ValueError(f"y: expected labels in -1..{num_classes - 1}, got labels in {y.min()}..{y.max()}")


__all__ = ["BinaryLabels", "ClassLabels", "Labels"]
