"""Natural-gradient steps of conjugate posteriors beside gradient steps of everything else."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pyro import poutine
from pyro.infer import SVI
from torch import Tensor, nn
from torch import distributed as processes

from pyro_mixvae.infer.conjugate_posterior import ConjugatePosterior, statistics_as_leaves

#: From the number of natural-gradient steps made so far, 0-d, to the length of the next.
Schedule = Callable[[Tensor], Tensor | float]


@dataclass(frozen=True)
class RobbinsMonro:
    r"""Step lengths :math:`\rho_t = (\tau_0 + t)^{-\kappa}`, t counted from 0.

    Args:
        delay: :math:`\tau_0 \ge 1`, so that no step is longer than 1.
        forgetting: :math:`\kappa` in (1/2, 1], for which the steps add up without end and their squares do not.

    Raises:
        ValueError: outside these ranges.

    >>> round(float(RobbinsMonro(2000, 0.7)(torch.tensor(0))), 4)
    0.0049

    Source: Robbins, Monro (1951); Paquet, Ghaisas, Tieleman, appendix D (whose exponents have the sign wrong).
    """

    delay: float = 2000.0
    forgetting: float = 0.7

    def __post_init__(self) -> None:
        if not 1 <= self.delay < math.inf:
            raise ValueError(f"delay: expected a finite number >= 1, got {self.delay}")
        if not 0.5 < self.forgetting <= 1:
            raise ValueError(f"forgetting: expected a number in (1/2, 1], got {self.forgetting}")

    def __call__(self, t: Tensor) -> Tensor:
        return (self.delay + t.double()) ** -self.forgetting


def natural_gradient_step(
    posteriors: Sequence[ConjugatePosterior],
    data_terms: Callable[[], Tensor],
    schedule: Schedule = RobbinsMonro(),
    num_data: int = 1,
) -> None:
    r"""One natural-gradient step of every posterior, on the data terms of the bound: the one place where it is made.

    The data terms are evaluated once, with the posteriors' expected statistics as leaves of the graph; their gradient
    in these is the batch's sufficient statistics. With several processes these are averaged by their numbers of data,
    so that all processes make the step that one would make on the joint batch.

    Args:
        posteriors: those that are moved.
        data_terms: what of the bound depends on the data, scaled to all N data: 0-d, linear in the statistics.
        schedule: from the number of a posterior's steps so far to the length of the next.
        num_data: data in this process's batch, by which it counts beside the others.

    Source: Paquet, Ghaisas, Tieleman, equations 13 and 14.
    """
    if not posteriors:
        return
    with torch.enable_grad(), statistics_as_leaves(posteriors) as leaves:
        gradients = torch.autograd.grad(data_terms(), leaves, allow_unused=True, materialize_grads=True)
    natural_step(posteriors, gradients, schedule, num_data)


def natural_step(
    posteriors: Sequence[ConjugatePosterior],
    gradients: Sequence[Tensor],
    schedule: Schedule = RobbinsMonro(),
    num_data: int = 1,
) -> None:
    """The step of :func:`natural_gradient_step`, for gradients that are known: the batch's sufficient statistics.

    Args:
        posteriors: those that are moved.
        gradients: of the data terms, scaled to all N data, in each posterior's expected statistics.
        schedule: from the number of a posterior's steps so far to the length of the next.
        num_data: data in this process's batch, by which it counts beside the others.
    """
    for posterior, gradient in zip(posteriors, _over_processes(gradients, num_data), strict=True):
        posterior.step(gradient, schedule(posterior.num_steps))


def _over_processes(gradients: Sequence[Tensor], num_data: int) -> list[Tensor]:
    """The gradients on the joint batch of all processes."""
    if not processes.is_available() or not processes.is_initialized() or processes.get_world_size() == 1:
        return list(gradients)
    weighted = [num_data * gradient.flatten() for gradient in gradients]
    total = torch.cat([*weighted, weighted[0].new_tensor([num_data])])
    processes.all_reduce(total)
    parts = (total[:-1] / total[-1]).split([gradient.numel() for gradient in gradients])
    return [part.reshape(gradient.shape) for part, gradient in zip(parts, gradients, strict=True)]


class ConjugateSVI(SVI):
    """Pyro's ``SVI`` for guides that hold a :class:`ConjugatePosterior`: a gradient step, then a natural-gradient step.

    :meth:`step` moves all parameters by their gradient, as ``SVI`` does, and then, with the new parameters, the
    posteriors by :func:`natural_gradient_step`. That needs an objective whose data terms are linear in the posteriors'
    expected statistics, such as :class:`TraceConjugate_ELBO`'s. The model may define ``conjugate_terms(*args)``, the
    data terms alone; otherwise the whole objective is evaluated again.

    Inside :func:`~pyro_mixvae.training.fit` a model makes the second step itself: it defines ``after_step(batch,
    step)`` and calls :func:`natural_gradient_step` there, as :class:`~pyro_mixvae.models.FactorialMixtureVAE` does.

    Args:
        model, guide: a Pyro pair; posteriors are looked for in the modules that they are methods of.
        optim: one of Pyro's optimisers.
        loss: the objective, an ELBO with ``differentiable_loss``.
        schedule: step lengths of the natural gradient.

    Raises:
        ValueError: where model and guide hold no posterior.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        guide: Callable[..., Any],
        optim: Any,
        loss: Any,
        schedule: Schedule = RobbinsMonro(),
    ) -> None:
        super().__init__(model, guide, optim, loss)
        self.elbo, self.schedule = loss, schedule
        unwrapped = [poutine.unwrap(fn) for fn in (model, guide)]
        found = [getattr(fn, "__self__", fn) for fn in unwrapped]
        self.owners = [owner for owner in dict.fromkeys(found) if isinstance(owner, nn.Module)]
        parts = dict.fromkeys(part for owner in self.owners for part in owner.modules())
        self.posteriors = [part for part in parts if isinstance(part, ConjugatePosterior)]
        if not self.posteriors:
            raise ValueError("guide: holds no ConjugatePosterior; use pyro.infer.SVI")

    def step(self, *args: Any, **kwargs: Any) -> float:
        """A gradient step and a natural-gradient step on one batch; returns the loss before both."""
        loss = super().step(*args, **kwargs)
        moved = [posterior for posterior in self.posteriors if not posterior.by_gradient]
        sizes = [len(value) for value in args if isinstance(value, Tensor) and value.dim()]
        natural_gradient_step(moved, lambda: self._data_terms(*args, **kwargs), self.schedule, (sizes or [1])[0])
        return loss

    def _data_terms(self, *args: Any, **kwargs: Any) -> Tensor:
        for owner in self.owners:
            if callable(terms := getattr(owner, "conjugate_terms", None)):
                return terms(*args, **kwargs)
        return -self.elbo.differentiable_loss(self.model, self.guide, *args, **kwargs)
