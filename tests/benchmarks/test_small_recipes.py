"""The page of the small recipes is what their results say."""

from __future__ import annotations

import json

import pytest

from benchmarks.record import HERE, RESULTS
from benchmarks.small_recipes import NAME, SHOWN, table
from pyro_mixvae.training.recipe import recipe_names

ERRORS = [3.0, 5.0]


@pytest.fixture
def runs():
    results = [{"Classifier": {"classification error (%)": error}, "k-means": {}} for error in ERRORS]
    return [{"results": each, "cpu_seconds": 10.0 * (i + 1), "peak_memory_mib": 800} for i, each in enumerate(results)]


def test_mean_deviation_and_seconds(runs):
    row = table({"features-digits": runs}).splitlines()[-1]
    assert row == "| `features-digits` | classification error (%) 4.00 ± 1.41 | 2 | 15 | 800 |"


def test_the_page_is_of_its_results():
    measured = json.loads((RESULTS / f"{NAME}.json").read_text(encoding="utf-8"))["measured"]
    assert table(measured) in (HERE / f"{NAME}.md").read_text(encoding="utf-8")
    assert set(SHOWN) <= set(recipe_names())
