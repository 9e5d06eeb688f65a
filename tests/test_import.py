"""What ``import pyro_mixvae`` brings along, and how long it takes."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

import pytest

HEAVY = ("lightning", "matplotlib", "sklearn", "torchvision", "torchmetrics", "jsonargparse", "rich", "scipy")


def in_new_process(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300).stdout


def test_neither_lightning_nor_matplotlib_nor_sklearn():
    code = (
        "import sys, json, pyro; before = set(sys.modules); import pyro_mixvae; "
        "print(json.dumps(sorted({name.split('.')[0] for name in set(sys.modules) - before})))"
    )
    brought = set(json.loads(in_new_process(code)))
    assert not brought & set(HEAVY)
    assert "pyro_mixvae" in brought


def test_parts_below_training_bring_none_of_them_either():
    parts = ", ".join(f"pyro_mixvae.{part}" for part in ("models", "distributions", "divergences", "priors", "data"))
    code = f"import sys, pyro; before = set(sys.modules); import {parts}; print(*(set(sys.modules) - before))"
    brought = {name.split(".")[0] for name in in_new_process(code).split()}
    assert not brought & {"lightning", "matplotlib", "sklearn"}


def import_costs(repeats: int) -> list[float]:
    """Seconds that the package adds to ``import pyro``, each measured in a process of its own.

    Seconds of the processor: what the clock says depends on what else the machine does.
    """
    code = "import time, pyro; start = time.process_time(); import pyro_mixvae; print(time.process_time() - start)"
    return [float(in_new_process(code)) for _ in range(repeats)]


@pytest.mark.slow
def test_costs_at_most_three_tenths_of_a_second_more_than_pyro():
    import_costs(1)  # compiles
    assert statistics.median(import_costs(7)) <= 0.3
