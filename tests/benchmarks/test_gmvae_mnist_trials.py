"""The page of trials is what their results say."""

from __future__ import annotations

import json

import torch

from benchmarks.gmvae_mnist_trials import CHOICES, MEASURED, NAME, evenness, page
from benchmarks.record import HERE, RESULTS


def test_the_page_is_of_its_results():
    trials = json.loads((RESULTS / f"{NAME}.json").read_text(encoding="utf-8"))
    ours = [line for line in page(trials).splitlines() if not line.startswith("Made by")]
    theirs = [line for line in (HERE / f"{NAME}.md").read_text(encoding="utf-8").splitlines() if line[:7] != "Made by"]
    assert ours == theirs


def test_what_an_old_trial_could_not_choose_stands_at_its_default():
    old = {"epochs": 4, "accuracy": {"2": 0.5}, "processor_seconds": None}
    line = page([old]).splitlines()[-1]
    assert line.count("|") == len(CHOICES) + len(MEASURED) + 3
    assert line.endswith("| 0.500 (2) |" + " – |" * (len(MEASURED) + 1))
    assert "1 of which were stopped early" in page([old])


def test_clusters_of_one_size_are_even():
    assert evenness(torch.tensor([[0.5, 0.5], [1.0, 0.0], [0.0, 1.0]])) == 1.0
    assert evenness(torch.tensor([[1.0, 0.0], [1.0, 0.0]])) == 0.0
