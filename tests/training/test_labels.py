"""Recipes of models that predict labels: two phases, label scores, and samples measured by a feature network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyro_mixvae.cli import main
from pyro_mixvae.training.recipe import read_recipe
from pyro_mixvae.training.run import train

SEMI = """
model:
  class: SemiSupervisedCSRAE
  num_classes: 10
  latent_dim: 2
  encoder: {kind: mlp, hidden_dims: []}
  feature_dim: 8
  label_encoder: {kind: mlp, hidden_dims: []}
  label_dim: 4
  classifier: {kind: mlp, hidden_dims: []}
  posterior: {kind: mlp, hidden_dims: []}
  decoder: {kind: mlp, hidden_dims: [8]}
objective: {warmup: {epochs: 1, sites: [z]}}
data: {name: digits, labelled: 100, batch_size: 500, labelled_per_batch: 100, balanced: true}
optimizer: {lr: 0.01}
trainer: {max_epochs: 1, pretraining_epochs: 1}
"""
FEATURES = """
model: {class: Classifier, num_classes: 10, encoder: {hidden_dims: []}, feature_dim: 4, classifier: {hidden_dims: []}}
data: {name: digits, batch_size: 500}
trainer: {max_epochs: 1}
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    for name, text in {"semi": SEMI, "features": FEATURES}.items():
        (folder / f"{name}.yaml").write_text(text)
        train(read_recipe(str(folder / f"{name}.yaml")), out=folder / name, progress=False)
    return {name: folder / name for name in ("semi", "features")}


def test_a_run_has_the_classification_error_and_both_phases(runs) -> None:
    found = json.loads((runs["semi"] / "results.json").read_text())
    assert 0 < found["results"]["SemiSupervisedCSRAE"]["classification error (%)"] < 100
    assert "first phases" in found["seconds"]
    assert (runs["semi"] / "predictions.png").exists()
    # the warm-up was made in the first phase
    assert "warmup" not in (runs["semi"] / "metrics.csv").read_text().splitlines()[0]


def test_a_feature_networks_run(runs) -> None:
    found = json.loads((runs["features"] / "results.json").read_text())["results"]["Classifier"]
    assert list(found) == ["classification error (%)"]


def test_tables_name_the_network_that_images_were_measured_with(runs, tmp_path, capsys) -> None:
    command = ["evaluate", str(runs["semi"]), "--out", str(tmp_path), "--num-samples", "2"]
    assert main([*command, "--features", str(runs["features"])]) == 0
    found = json.loads((tmp_path / "results.json").read_text())["results"]["SemiSupervisedCSRAE"]
    assert found["Frechet distance (features)"] > 0 and 1 <= found["Inception Score (features)"] <= 10
    assert "Frechet distance (features)" in capsys.readouterr().out
    assert main([*command, "--features", str(tmp_path / "none")]) == 2


def test_no_labelled_data_at_all(tmp_path) -> None:
    path = tmp_path / "semi.yaml"
    path.write_text(
        SEMI.replace("labelled: 100", "labelled: 0").replace(", labelled_per_batch: 100, balanced: true", "")
    )
    with pytest.raises(ValueError, match="y: expected labels for some of the training data, got -1"):
        train(read_recipe(str(path)), out=tmp_path / "out", progress=False)
