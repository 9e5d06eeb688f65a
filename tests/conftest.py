"""Shared test configuration: the ``--full`` switch, seeds, and where real data lie."""

from __future__ import annotations

import os
from pathlib import Path

import pyro
import pytest
import torch

LONG = ("slow", "compile", "distributed", "browser")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the long tests too")


def pytest_configure(config: pytest.Config) -> None:
    if worker := getattr(config, "workerinput", None):
        # tests in several processes share the cores, and threads that wait for each other's core are slow
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // worker["workercount"]))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--full"):
        return
    for item in items:
        marks = [name for name in LONG if item.get_closest_marker(name)]
        if marks:
            item.add_marker(pytest.mark.skip(reason=f"{', '.join(marks)}: needs --full"))


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    """Every test starts from the same random state, whichever tests ran before it."""
    pyro.set_rng_seed(0)


@pytest.fixture
def no_global_parameters():
    """A test that uses ``pyro.infer.SVI`` starts and ends with an empty parameter store."""
    pyro.clear_param_store()
    yield
    pyro.clear_param_store()


@pytest.fixture
def float64():
    """Run a test in double precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside a development checkout; skips where it is absent."""
    folder = Path(os.environ.get("PYRO_MIXVAE_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}")
    return folder
