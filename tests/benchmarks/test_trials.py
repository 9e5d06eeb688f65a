"""A trial is made with what was asked for, and stands after those that there were."""

from __future__ import annotations

import json

from benchmarks import trials


def test_a_trial_is_added(tmp_path, monkeypatch):
    monkeypatch.setattr(trials, "RESULTS", tmp_path)
    monkeypatch.setattr(trials, "HERE", tmp_path)
    (tmp_path / "some.json").write_text('[{"epochs": 1}]', encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["some", "--data-dir", "place", "--batch-size", "7"])

    def trial(chosen, data_dir):
        return {**chosen, "from": data_dir}

    trials.add_trial("some", None, {"epochs": 3, "batch_size": 5}, trial, lambda all_of_them: str(len(all_of_them)))
    expected = [{"epochs": 1}, {"epochs": 3, "batch_size": 7, "from": "place"}]
    assert json.loads((tmp_path / "some.json").read_text(encoding="utf-8")) == expected
    assert (tmp_path / "some.md").read_text(encoding="utf-8") == "2"
