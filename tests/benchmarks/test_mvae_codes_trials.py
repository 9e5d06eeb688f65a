"""The page on the MVAE's codes is what its results say; its rate is that of the paper's count of components."""

from __future__ import annotations

import json

import pytest

from benchmarks.mvae_codes_trials import PAPER, TRIALS, held_rate, page
from benchmarks.record import HERE, RESULTS
from benchmarks.reproduce.tables import HELD_FOUR, HELD_SIX
from pyro_mixvae.models.mvae_dropout import ComponentDropout


@pytest.mark.parametrize(("selected", "num_components"), [(3.07, 4), (4.05, 6), (0.5, 3)])
def test_the_rate_leaves_so_many_components(selected, num_components):
    rate = held_rate(selected, num_components)
    assert ComponentDropout(num_components, "gumbel", rate=rate).selected() == pytest.approx(selected, rel=1e-5)


def test_the_tables_hold_the_rates_of_the_papers_counts():
    rates = held_rate(PAPER, 4), held_rate(4.05, 6)
    assert (HELD_FOUR["model.dropout_rate"], HELD_SIX["model.dropout_rate"]) == pytest.approx(rates, abs=5e-4)


def test_the_page_is_of_its_results():
    measured = json.loads((RESULTS / "mvae_codes_trials.json").read_text(encoding="utf-8"))["measured"]
    assert [row["trial"] for row in measured["trials"]] == [title for title, _ in TRIALS]
    table = page(measured["trials"], measured["epochs"]).partition("| training |")[2]
    assert (HERE / "mvae_codes_trials.md").read_text(encoding="utf-8").endswith(table)
