"""The page on lambda is what its results say, and its choice the criterion's."""

from __future__ import annotations

import json

import pytest

from benchmarks.csrae_weight import COLUMNS, NAME, smallest, table
from benchmarks.record import HERE, RESULTS


def result(weight, criterion):
    metrics = dict.fromkeys(COLUMNS[1:], 1.0) | {"divergence": 20.0}
    return {"model": "CSRAE", "weight": weight, "criterion": criterion, "metrics": metrics}


def test_the_smallest_criterion_is_chosen_and_divergences_are_unweighted():
    rows = table({"b": result(2.0, 90.0), "a": result(0.5, 95.0)}).splitlines()
    assert rows[2].startswith("| CSRAE | 0.5 | 95.00 | 40.00 |")
    assert rows[3].startswith("| CSRAE | 2 (chosen) | 90.00 | 10.00 |")


def test_one_weight_is_no_choice():
    assert "chosen" not in table({"a": result(1.0, 95.0)})


def test_smallest_leaves_out_epochs_without_validation(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,validation/loss\n0,5.5\n1,\n2,4.5\n3,6.5\n", encoding="utf-8")
    assert smallest(tmp_path / "metrics.csv") == pytest.approx(4.5)


def test_the_page_is_of_its_results():
    measured = json.loads((RESULTS / f"{NAME}.json").read_text(encoding="utf-8"))["measured"]
    assert table(measured) in (HERE / f"{NAME}.md").read_text(encoding="utf-8")
