"""The Cauchy-Schwarz divergence: dispatch on a pair of types, and an estimate for all other pairs."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

ClosedForm = Callable[..., Tensor]

_REGISTRY: dict[tuple[type, type], ClosedForm] = {}
_RESOLVED: dict[tuple[type, type], ClosedForm | None] = {}


def register_cauchy_schwarz(type_q: type, type_p: type) -> Callable[[ClosedForm], ClosedForm]:
    r"""Decorator that registers a closed form of :func:`cauchy_schwarz` for a pair of distribution types.

    Two arguments get the function of the most specific pair that fits: the one whose types are subclasses of
    the types of every other such pair. Where the two places disagree about it, the first argument decides and
    a ``RuntimeWarning`` says which pair to register. The divergence is symmetric, so a function serves the
    swapped pair too, unless that is registered in its own right.

    :param type_q: a subclass of :class:`torch.distributions.Distribution`.
    :param type_p: another one, or the same.
    :return: a decorator for functions ``(q, p) -> Tensor`` that return the divergence in nats, in a shape that
        broadcasts to the batch shape, or ``NotImplemented`` for arguments that they cannot treat after all.
    :raises TypeError: where an argument is not a distribution type.

    >>> from torch.distributions import Exponential
    >>> @register_cauchy_schwarz(Exponential, Exponential)
    ... def exponentials(q, p):
    ...     return (0.5 * (q.rate + p.rate)).log() - 0.5 * (q.rate * p.rate).log()
    >>> cauchy_schwarz(Exponential(torch.tensor(1.0)), Exponential(torch.tensor(4.0)))
    tensor(0.2231)
    """
    for name, given in (("type_q", type_q), ("type_p", type_p)):
        if not (isinstance(given, type) and issubclass(given, Distribution)):
            raise TypeError(f"{name} must be a subclass of torch.distributions.Distribution, got {given!r}")

    def register(function: ClosedForm) -> ClosedForm:
        _REGISTRY[type_q, type_p] = function
        _RESOLVED.clear()
        return function

    return register


def cauchy_schwarz(q: Distribution, p: Distribution, num_samples: int | None = None) -> Tensor:
    r"""Cauchy-Schwarz divergence: symmetric, never negative, and zero only for equal distributions.

    .. math::
        D_{CS}(q, p) = -\log \int q(z)\,p(z)\,dz
            + \tfrac12 \log \int q(z)^2\,dz + \tfrac12 \log \int p(z)^2\,dz

    Closed forms are registered for all pairs of Normal, its ``Independent``,
    :class:`~pyro_mixvae.distributions.GaussianMixture` and torch's ``MixtureSameFamily`` of Normals; for two
    MultivariateNormals; and for two ``Independent`` of any registered pair. What does not depend on the datum
    is computed once: batch dimensions along which parameters are merely expanded (stride 0, as in a Pyro
    plate) are collapsed first.

    With ``num_samples`` the divergence of any pair is estimated instead. S draws of each distribution
    together are draws of the proposal :math:`r = (q + p) / 2`, and each integral becomes its
    importance-sampling average,

    .. math::
        \int q\,p\,dz \approx \frac1{2S} \sum_{s=1}^{2S} \frac{q(z_s)\,p(z_s)}{r(z_s)} ,

    with weights that are bounded where the densities are. The estimate is consistent, with a bias of order
    1/S from the logarithms. The three averages share their draws, so that the estimate is itself never
    negative, and zero with zero gradient for equal arguments. Draws and proposal are constants in backward;
    the gradient is thus consistent for every family, reparameterised or not, continuous or discrete.

    :param q: a distribution.
    :param p: another one, of the same event shape and support; batch shapes broadcast.
    :param num_samples: ``None`` for the closed form, or the number S of draws of each distribution.
    :return: the divergence ``[*]`` in nats, in the shape to which the batch shapes broadcast.
    :raises NotImplementedError: where no closed form is registered for the two types.
    :raises ValueError: where the event shapes differ, the batch shapes do not broadcast, or ``num_samples``
        is not positive.

    Source: Jenssen, Principe, Erdogmus, Eltoft 2006, *The Cauchy-Schwarz divergence and Parzen windowing*;
    Tran, Pantic, Deisenroth, equation 3. The proposal: Veach and Guibas 1995, the balance heuristic.

    >>> from pyro.distributions import Laplace, Normal
    >>> from pyro_mixvae.distributions import GaussianMixture
    >>> q = Normal(torch.zeros(3, 2), torch.ones(3, 2)).to_event(1)
    >>> p = GaussianMixture(torch.zeros(2), torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), torch.ones(2, 2))
    >>> cauchy_schwarz(q, p)
    tensor([0.0601, 0.0601, 0.0601])
    >>> cauchy_schwarz(Normal(0.0, 1.0), Laplace(0.0, 1.0))
    Traceback (most recent call last):
        ...
    NotImplementedError: no closed form of the Cauchy-Schwarz divergence is known for Normal and Laplace: ...
    >>> cauchy_schwarz(Normal(0.0, 1.0), Laplace(0.0, 1.0), num_samples=100_000)
    tensor(0.0...)
    """
    if q.event_shape != p.event_shape:
        raise ValueError(
            f"q and p must have the same event_shape, got {tuple(q.event_shape)} for {describe(q)} and "
            f"{tuple(p.event_shape)} for {describe(p)}"
        )
    try:
        batch_shape = torch.broadcast_shapes(q.batch_shape, p.batch_shape)
    except RuntimeError as error:
        raise ValueError(
            f"q and p must have batch shapes that broadcast, got {tuple(q.batch_shape)} and {tuple(p.batch_shape)}"
        ) from error
    if num_samples is not None:
        return _importance_sampled(q.expand(batch_shape), p.expand(batch_shape), num_samples)
    pair = type(q), type(p)
    if pair not in _RESOLVED:
        _RESOLVED[pair] = _most_specific(*pair)
    closed_form = _RESOLVED[pair]
    divergence = NotImplemented if closed_form is None else closed_form(q, p)
    if divergence is NotImplemented:
        raise NotImplementedError(
            f"no closed form of the Cauchy-Schwarz divergence is known for {describe(q)} and {describe(p)}: "
            f"pass num_samples= to estimate it, or register one with "
            f"@register_cauchy_schwarz({type(q).__name__}, {type(p).__name__})"
        )
    return divergence.expand(batch_shape)


def describe(distribution: Distribution) -> str:
    """The type's name, for an ``Independent`` with what it wraps: ``Independent(Normal, 1)``."""
    if isinstance(distribution, Independent):
        return f"Independent({describe(distribution.base_dist)}, {distribution.reinterpreted_batch_ndims})"
    return type(distribution).__name__


def without_rounding(divergence: Tensor) -> Tensor:
    """Raise to zero a divergence that only rounding made negative; the gradient passes unchanged."""
    return divergence + (-divergence).detach().relu()


def _most_specific(type_q: type, type_p: type) -> ClosedForm | None:
    registered = {(b, a): (a, b) for a, b in _REGISTRY} | {pair: pair for pair in _REGISTRY}
    fitting = [(a, b) for a, b in registered if issubclass(type_q, a) and issubclass(type_p, b)]
    if not fitting:
        return None
    by_q = min(fitting, key=lambda pair: (type_q.__mro__.index(pair[0]), type_p.__mro__.index(pair[1])))
    by_p = min(fitting, key=lambda pair: (type_p.__mro__.index(pair[1]), type_q.__mro__.index(pair[0])))
    if registered[by_q] != registered[by_p]:
        warnings.warn(
            f"the Cauchy-Schwarz divergence of {type_q.__name__} and {type_p.__name__} is ambiguous: "
            f"register it for ({by_q[0].__name__}, {by_p[1].__name__})",
            RuntimeWarning,
            stacklevel=3,
        )
    function = _REGISTRY[registered[by_q]]
    return function if registered[by_q] == by_q else lambda q, p: function(p, q)


def _importance_sampled(q: Distribution, p: Distribution, num_samples: int) -> Tensor:
    if num_samples < 1:
        raise ValueError(f"num_samples must be positive, got {num_samples}")
    with torch.no_grad():
        draws = torch.cat([q.sample((num_samples,)), p.sample((num_samples,))])
    log_q, log_p = q.log_prob(draws), p.log_prob(draws)
    log_r = torch.logaddexp(log_q, log_p).detach()
    return without_rounding(
        0.5 * torch.logsumexp(2 * log_q - log_r, 0)
        + 0.5 * torch.logsumexp(2 * log_p - log_r, 0)
        - torch.logsumexp(log_q + log_p - log_r, 0)
    )
