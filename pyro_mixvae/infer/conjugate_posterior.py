"""The posterior over a conjugate prior's variable: natural parameters that a natural-gradient step moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions import kl_divergence

from pyro_mixvae.distributions import MixingWeights, NormalGamma

Conjugate = NormalGamma | MixingWeights


class ConjugatePosterior(nn.Module):
    r"""q(xi), of the same exponential family as its prior, :math:`q(\xi) \propto \exp(\lambda^\top t(\xi))`.

    Where the expected log-joint of the data is linear in the expected statistics :math:`\bar t = E_q\, t(\xi)`, the
    gradient g of the data terms in :math:`\bar t` is the sum of the data's sufficient statistics, and the bound's
    natural gradient is :math:`\lambda_0 + g - \lambda`. A step of length rho is therefore

    .. math:: \lambda \leftarrow (1 - \rho) \lambda + \rho (\lambda_0 + g)

    In a guide, :meth:`sample` draws the variable and leaves the expected statistics in the trace, where the closed
    forms read them. What is kept is in double precision whatever the model's type (so there is no such module on
    devices without it): the rate of a Normal-Gamma is the difference of numbers as large as the data are many.

    Args:
        prior: p(xi), a :class:`NormalGamma` or :class:`MixingWeights`; all of its batch belongs to one variable.
        by_gradient: start as ordinary parameters instead, the location and the logarithms of the positive ones, for
            objectives that are not conjugate; see :meth:`follow_gradient`.

    Attributes:
        natural: :math:`\lambda`, [\*, S], float64.
        num_steps: natural-gradient steps made so far, 0-d.

    Example:
        >>> prior = MixingWeights(torch.ones(3))
        >>> q = ConjugatePosterior(prior)
        >>> q.step(torch.tensor([4.0, 0.0, 1.0]), rho=0.5)
        >>> q.distribution().concentration
        tensor([3.0000, 1.0000, 1.5000], dtype=torch.float64)

    Source: Paquet, Ghaisas, Tieleman, section 2.4.3 and appendices B and D; Hoffman et al. (2013).
    """

    natural: Tensor
    prior_natural: Tensor
    num_steps: Tensor
    like: Tensor

    def __init__(self, prior: Conjugate, by_gradient: bool = False) -> None:
        super().__init__()
        if not isinstance(prior, NormalGamma | MixingWeights):
            raise ValueError(f"prior: expected a NormalGamma or MixingWeights, got {type(prior).__name__}")
        self.family: type[Any] = type(prior)
        self.register_buffer("prior_natural", prior.natural_parameters.detach().clone(), persistent=False)
        self.register_buffer("natural", self.prior_natural.clone())
        self.register_buffer("num_steps", torch.zeros((), dtype=torch.int64, device=self.natural.device))
        # has the type of the model's other tensors, whatever that is set to later
        self.register_buffer("like", torch.empty(0, dtype=torch.get_default_dtype()), persistent=False)
        self.parameters_of_q = nn.ParameterDict()
        self._leaf: Tensor | None = None
        if by_gradient:
            self.follow_gradient()

    # --- what q(xi) is -----------------------------------------------------------------------------------------------

    @property
    def prior(self) -> Conjugate:
        """p(xi), in double precision."""
        return self.family.from_natural_parameters(self.prior_natural)

    def distribution(self, dtype: torch.dtype = torch.float64) -> Conjugate:
        """q(xi), its parameters rounded to a type."""
        if self.by_gradient:
            values = {name: value.double() for name, value in self.parameters_of_q.items()}
            q = self.family(**{n.removeprefix("log_"): v if n == "loc" else v.exp() for n, v in values.items()})
        else:
            q = self.family.from_natural_parameters(self.natural)
        if dtype == torch.float64:
            return q
        return self.family(**{name: getattr(q, name).to(dtype) for name in q.arg_constraints})

    def forward(self) -> TorchDistribution:
        """q(xi) as one site's distribution, in the model's type: all of the batch is one event."""
        q = self.distribution(self.like.dtype)
        return q.to_event(len(q.batch_shape))

    def predictive(self) -> TorchDistribution:
        """The distribution of one datum under q(xi), in the model's type: Student's t, or a component's number."""
        q = self.distribution(self.like.dtype)
        return q.posterior_predictive() if isinstance(q, NormalGamma) else dist.Categorical(q.mean)

    def expected_statistics(self) -> Tensor:
        r""":math:`\bar t = E_q\, t(\xi)`, [\*, S], float64; a leaf of the graph while a step collects its gradient."""
        return self.distribution().expected_statistics if self._leaf is None else self._leaf

    def kl(self) -> Tensor:
        """KL(q(xi) || p(xi)) over the whole batch, 0-d, in nats and double precision."""
        return kl_divergence(self.distribution(), self.prior).sum()

    def sample(self, name: str) -> Tensor:
        """The guide's site: draws xi, and leaves ``posterior`` and ``expected_statistics`` in the site's ``infer``.

        Returns:
            the expected statistics, [\\*, S]; the draw is in the trace.
        """
        statistics = self.expected_statistics()
        pyro.sample(name, self(), infer={"posterior": self, "expected_statistics": statistics})
        return statistics

    # --- how it moves ------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def step(self, gradient: Tensor, rho: float | Tensor) -> None:
        r"""A natural-gradient step, :math:`\lambda \leftarrow (1 - \rho) \lambda + \rho (\lambda_0 + g)`.

        Args:
            gradient: g, of the data terms (summed over all N data) in the expected statistics, [\*, S].
            rho: step length in [0, 1]; 1 moves to the optimum of a full batch.

        Raises:
            ValueError: while q(xi) is moved by ordinary gradients, or for a gradient of another shape.
        """
        if self.by_gradient:
            raise ValueError("step: q is moved by ordinary gradients; call follow_natural_gradient() first")
        if gradient.shape != self.natural.shape:
            raise ValueError(f"gradient: expected shape {list(self.natural.shape)}, got {list(gradient.shape)}")
        target = self.prior_natural + gradient.to(self.natural)
        self.natural.copy_((1 - rho) * self.natural + rho * target)
        self.num_steps += 1

    @torch.no_grad()
    def set(self, statistics: Tensor) -> None:
        """Make q the posterior after data with these summed sufficient statistics, [\\*, S]: where it starts."""
        self.natural.copy_(self.prior_natural + statistics.to(self.natural))
        if self.by_gradient:
            self.follow_gradient()

    @property
    def by_gradient(self) -> bool:
        """Whether q is moved by ordinary gradients."""
        return len(self.parameters_of_q) > 0

    @torch.no_grad()
    def follow_gradient(self) -> None:
        """Become ordinary parameters, equal to what q is now; ``natural`` rests until they are given up."""
        shape = self.natural.shape[: -1 if self.family is NormalGamma else None]
        # a model is first built without memory when it is loaded, and then there are no values to look at
        q = None if self.natural.is_meta else self.family.from_natural_parameters(self.natural)
        for name in self.family.arg_constraints:
            key = name if name == "loc" else f"log_{name}"
            value = self.natural.new_ones(shape) if q is None else getattr(q, name)
            start = (value if name == "loc" else value.log()).to(self.like.dtype)
            if key in self.parameters_of_q:
                self.parameters_of_q[key].copy_(start)
            else:
                self.parameters_of_q[key] = nn.Parameter(start)

    @torch.no_grad()
    def follow_natural_gradient(self) -> None:
        """Give up the ordinary parameters; ``natural`` goes on from what they have made of q."""
        if self.by_gradient:
            self.natural.copy_(self.distribution().natural_parameters)
            self.parameters_of_q = nn.ParameterDict()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ConjugatePosterior:
        kept = {"natural": self.natural, "prior_natural": self.prior_natural}
        super()._apply(fn, recurse)
        for name, value in kept.items():
            self._buffers[name] = value.to(self.get_buffer(name).device)
        return self

    def extra_repr(self) -> str:
        return f"{self.family.__name__}, natural={list(self.natural.shape)}"


@contextmanager
def statistics_as_leaves(posteriors: Sequence[ConjugatePosterior]) -> Iterator[list[Tensor]]:
    """For a while, each posterior's expected statistics are leaves of the graph, which are handed out."""
    leaves = [posterior.expected_statistics().detach().requires_grad_() for posterior in posteriors]
    for posterior, leaf in zip(posteriors, leaves, strict=True):
        posterior._leaf = leaf
    try:
        yield leaves
    finally:
        for posterior in posteriors:
            posterior._leaf = None
