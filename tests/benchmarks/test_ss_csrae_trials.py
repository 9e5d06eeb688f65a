"""The page of trials is what their results say."""

from __future__ import annotations

import json

from benchmarks.record import HERE, RESULTS
from benchmarks.ss_csrae_trials import CHOICES, NAME, page


def test_the_page_is_of_its_results():
    trials = json.loads((RESULTS / f"{NAME}.json").read_text(encoding="utf-8"))
    ours = [line for line in page(trials).splitlines() if not line.startswith("Made by")]
    theirs = [line for line in (HERE / f"{NAME}.md").read_text(encoding="utf-8").splitlines() if line[:7] != "Made by"]
    assert ours == theirs


def test_a_trial_that_was_stopped_is_counted():
    one = {**CHOICES, "epochs": 3, "errors": [12.34, 10.0], "processor_seconds": None}
    text = page([one])
    assert text.splitlines()[-1].endswith("| 12.3, 10.0 | – |")
    assert "1 trainings, 1 of which were stopped early" in text
