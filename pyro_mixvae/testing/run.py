"""The batteries of checks where no pytest runs: in a notebook, or at a prompt."""

from __future__ import annotations

import inspect
import itertools
from typing import Any

import torch

__all__ = ["run_checks"]


def run_checks(checks: type, seed: int = 0) -> list[str]:
    """Make all checks of a test class, those of a parametrized one for each choice of its parameters.

    :param checks: a subclass of :class:`~pyro_mixvae.testing.DistributionChecks` or its kin.
    :param seed: of torch's random state, set before each check, as our own tests do; the caller's is left alone.
    :return: the names of the checks that were made, all of which have passed.
    :raises ValueError: for a class without checks.
    :raises AssertionError: or whatever else the first failing check raises, with its name in a note.

    >>> import pyro.distributions as dist
    >>> from pyro_mixvae.testing import DistributionChecks
    >>> class TestLaplace(DistributionChecks):
    ...     distribution = dist.Laplace
    ...     def parameters(self, batch_shape, dtype):
    ...         loc = torch.randn(batch_shape, dtype=dtype)
    ...         return {"loc": loc, "scale": 1 + loc.square()}
    >>> run_checks(TestLaplace)[:2]
    ['test_shapes_and_types[float32, ()]', 'test_shapes_and_types[float32, (3,)]']
    """
    if not isinstance(checks, type):
        raise ValueError(f"checks: expected a class such as a subclass of DistributionChecks, got {checks!r}")
    tests = {name: test for name, test in inspect.getmembers(checks) if name.startswith("test_") and callable(test)}
    if not tests:
        raise ValueError(f"checks: {checks.__name__} has no method whose name starts with test_")
    made = []
    for name, test in _in_order(tests):
        for arguments in _choices(test):
            words = ", ".join(str(value).removeprefix("torch.") for value in arguments.values())
            full_name = f"{name}[{words}]" if arguments else name
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                try:
                    getattr(checks(), name)(**arguments)
                except BaseException as error:
                    error.add_note(f"{checks.__name__}.{full_name}")
                    raise
            made.append(full_name)
    return made


def _in_order(tests: dict[str, Any]) -> list[tuple[str, Any]]:
    """As they stand in the source: simple checks come first there."""
    return sorted(tests.items(), key=lambda item: inspect.unwrap(item[1]).__code__.co_firstlineno)


def _choices(test: Any) -> list[dict[str, Any]]:
    """The keyword arguments of each run that pytest would make of a test with ``parametrize`` marks."""
    choices: list[dict[str, Any]] = [{}]
    for mark in getattr(test, "pytestmark", []):
        if mark.name != "parametrize":
            continue
        given, values = mark.args
        names = [name.strip() for name in given.split(",")] if isinstance(given, str) else list(given)
        rows = [dict(zip(names, [value] if len(names) == 1 else value, strict=True)) for value in values]
        choices = [{**row, **choice} for row, choice in itertools.product(rows, choices)]
    return choices
