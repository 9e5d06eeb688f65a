"""Pyro's ``param`` statements, made where somebody listens to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from pyro.poutine.runtime import am_i_wrapped

_needless: ContextVar[bool] = ContextVar("needless", default=False)


@contextmanager
def without_param_statements() -> Iterator[None]:
    """For the time of a call whose parameters are known beforehand, as those of ``elbo(model, guide)`` are.

    A :class:`~pyro.nn.PyroModule` states every parameter of a network to all handlers, each time that it looks the
    network up: a fifth of a small model's step. ``SVI`` finds parameters that way; a torch optimiser does not. Under a
    handler of the caller's, which may listen, nothing changes.
    """
    token = _needless.set(_needless.get() or not am_i_wrapped())
    try:
        yield
    finally:
        _needless.reset(token)


def param_statements_are_needless() -> bool:
    """Whether a module may look its networks up without stating their parameters."""
    return _needless.get()
