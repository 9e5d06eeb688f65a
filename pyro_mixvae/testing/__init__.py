"""Batteries of checks that a new distribution or divergence inherits; pytest runs them, or :func:`run_checks`."""

from __future__ import annotations

from pyro_mixvae.testing.distribution import DistributionChecks, assert_close_in_standard_errors
from pyro_mixvae.testing.divergence import (
    CauchySchwarzChecks,
    DivergenceChecks,
    KLChecks,
    SampleDivergenceChecks,
)
from pyro_mixvae.testing.run import run_checks

__all__ = [
    "CauchySchwarzChecks",
    "DistributionChecks",
    "DivergenceChecks",
    "KLChecks",
    "SampleDivergenceChecks",
    "assert_close_in_standard_errors",
    "run_checks",
]
