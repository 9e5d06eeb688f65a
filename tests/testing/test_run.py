"""``run_checks`` makes what pytest would make of the same class."""

from __future__ import annotations

import os

import pyro.distributions as dist
import pytest
import torch

from pyro_mixvae.testing import DistributionChecks, run_checks


class Laplace(DistributionChecks):
    distribution = dist.Laplace

    def parameters(self, batch_shape, dtype):
        loc = torch.randn(batch_shape, dtype=dtype)
        return {"loc": loc, "scale": 1 + loc.square()}


class WrongLaplace(dist.Laplace):
    def log_prob(self, value):
        return super().log_prob(value) - 0.1


class Collected:
    """A plugin that counts what pytest collects."""

    count = 0

    def pytest_collection_modifyitems(self, items):
        self.count = len(items)


def test_it_makes_every_check_that_pytest_collects(tmp_path):
    source = "from pyro_mixvae.testing import DistributionChecks\nclass TestNothing(DistributionChecks):\n    pass\n"
    (tmp_path / "test_nothing.py").write_text(source)
    plugin = Collected()
    options = ["--collect-only", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(tmp_path)]
    assert pytest.main([*options, str(tmp_path)], plugins=[plugin]) == 0
    assert len(run_checks(Laplace)) == plugin.count


def test_it_leaves_the_random_state_alone_and_makes_the_same_checks_again():
    state = torch.get_rng_state()
    assert run_checks(Laplace) == run_checks(Laplace)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_failing_check_is_named():
    class Wrong(Laplace):
        distribution = WrongLaplace

    with pytest.raises(AssertionError) as caught:
        run_checks(Wrong)
    assert "Wrong.test_density_integrates_to_one_and_samples_follow_it" in caught.value.__notes__[-1]


def test_a_check_that_is_switched_off_is_not_made():
    class Switched(Laplace):
        test_density_integrates_to_one_and_samples_follow_it = None

    assert "test_density_integrates_to_one_and_samples_follow_it" not in run_checks(Switched)


@pytest.mark.parametrize("checks", [Laplace(), int])
def test_what_has_no_checks_is_refused(checks):
    with pytest.raises(ValueError, match=r"^checks: "):
        run_checks(checks)
