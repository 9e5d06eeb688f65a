"""A recipe becomes a run folder that says what was done and can be repeated."""

from __future__ import annotations

import csv
import dataclasses
import json
import platform

import pytest
import torch
import yaml
from safetensors import safe_open

import pyro_mixvae
from pyro_mixvae.data import load
from pyro_mixvae.training.recipe import read_recipe
from pyro_mixvae.training.run import Run, _new_folder, build_model, fit_options, train

FIGURES = {"reconstructions", "objective", "components", "latent", "clusters"}
TERMS = {"loss", "reconstruction", "conditional_prior", "w_prior", "c_prior"}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    (folder / "tiny.yaml").write_text(TINY)
    return train(read_recipe(str(folder / "tiny.yaml")), out=folder / "out", seed=5, progress=False)


TINY = """
description: three components on scikit-learn's digits, far too short
model:
  class: GMVAE
  latent_dim: 2
  num_components: 3
  style_dim: 2
  encoder: {kind: mlp, hidden_dims: [8]}
  decoder: {kind: mlp, hidden_dims: [8]}
  prior_network: {kind: mlp, hidden_dims: [8], activation: tanh}
objective: {c_prior_floor: log K, warmup: {epochs: 1, sites: [z]}}
data: {name: digits, batch_size: 500}
optimizer: {lr: 0.01}
trainer: {max_epochs: 2}
"""


def test_files(run):
    names = {path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*") if path.is_file()}
    assert names == {
        "config.yaml",
        "metrics.csv",
        "results.json",
        "report.html",
        "model/config.json",
        "model/model.safetensors",
        "checkpoints/last.ckpt",
        *(f"{name}.png" for name in FIGURES),
    }
    for name in FIGURES:
        assert (run.folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_config_says_what_was_trained_and_with_what(run):
    config = yaml.safe_load((run.folder / "config.yaml").read_text())
    assert config["name"] == "tiny"
    assert config["seed"] == 5
    assert config["model"]["encoder"] == {"kind": "mlp", "hidden_dims": [8]}
    assert config["made_with"]["python"] == platform.python_version()
    assert config["made_with"]["torch"] == torch.__version__.split("+")[0]
    assert config["made_with"]["pyro-mixvae"] == pyro_mixvae.__version__


def test_config_repeats_the_run(run, tmp_path):
    recipe = read_recipe(str(run.folder / "config.yaml"))
    assert recipe.seed == 5
    again = train(recipe, out=tmp_path, seed=recipe.seed, progress=False)
    assert (tmp_path / "metrics.csv").read_text() == (run.folder / "metrics.csv").read_text()
    assert again.evaluation.results == run.evaluation.results
    assert again.evaluation.baselines == run.evaluation.baselines
    for name in ("model/model.safetensors", "model/config.json"):
        assert (tmp_path / name).read_bytes() == (run.folder / name).read_bytes()


def test_metrics_hold_every_term_at_each_epoch(run):
    with (run.folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    for row in rows:
        assert set(row) == {"epoch", "learning_rate", "warmup", *(f"train/{term}" for term in TERMS)}
        assert all(row.values())


def test_results_hold_the_whole_table(run):
    results = json.loads((run.folder / "results.json").read_text())
    assert results["recipe"] == "tiny"
    assert results["seed"] == 5
    assert results["part"] == "test"
    assert set(results["seconds"]) == {"set-up", "training", "evaluation", "figures"}
    assert results["peak_memory_mib"] > 50
    table = run.evaluation.table("GMVAE")
    assert table[0] == ["", *results["results"]] == ["", "GMVAE", "k-means"]
    for name, *shown in table[1:]:
        for column, text in zip(table[0][1:], shown, strict=True):
            value = results["results"][column].get(name)
            assert (value is None) == (text == "")
            assert value is None or float(text) == pytest.approx(value, abs=0.5)


def test_report_holds_table_figures_times_and_versions(run):
    page = (run.folder / "report.html").read_text()
    for line in run.evaluation.table("GMVAE"):
        for cell in line:
            assert f">{cell}</t" in page
    assert page.count("data:image/png;base64,") == len(FIGURES)
    for word in ("set-up ", "training ", "evaluation ", "figures ", "python ", "torch ", "nats per datum"):
        assert word in page
    for word in ("http:", "https:", "<script", "<link"):
        assert word not in page


def test_model_is_what_load_takes(run):
    assert {path.name for path in (run.folder / "model").iterdir()} == {"config.json", "model.safetensors"}
    loaded = pyro_mixvae.load(run.folder / "model")
    x = load("digits").test.x
    assert torch.equal(loaded.responsibilities(x), run.model.responsibilities(x))
    with safe_open(run.folder / "model" / "model.safetensors", "pt") as file:
        assert set(file.keys()) == set(run.model.state_dict())


def test_run(run):
    assert run.model.num_components == 3
    assert not run.model.training
    assert run.seconds["training"] > 0


def test_weights_depend_on_the_seed_alone(tiny, write_recipe):
    recipe, digits = read_recipe(write_recipe(tiny)), load("digits")
    state = torch.get_rng_state()
    first = build_model(recipe, digits, 1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    same, other = build_model(recipe, digits, 1), build_model(recipe, digits, 2)
    weights = [model.encoder.state_dict()["layers.0.weight"] for model in (first, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_folder_of_its_own_named_by_time(monkeypatch, tmp_path):
    """Several runs may start in one second."""
    monkeypatch.chdir(tmp_path)
    folders = []
    for _ in range(3):
        folder = _new_folder("name")
        folder.mkdir(parents=True)
        folders.append(folder)
    assert len(set(folders)) == 3
    assert all(folder.parent.as_posix() == "runs/name" for folder in folders)


@pytest.mark.parametrize(
    ("section", "settings", "message"),
    [
        ("data", {"name": None}, "data.name: missing"),
        ("data", {"name": "digitz"}, "did you mean 'digits'"),
        ("data", {"batch_size": 0}, "batch_size"),
        ("data", {"colour": 3}, "colour"),
        ("model", {"num_components": 0}, "num_components: expected an integer >= 1"),
        ("model", {"decoder": {"kind": "mpl"}}, "did you mean 'mlp'"),
        ("model", {"likelihood": "bernouli"}, "did you mean 'bernoulli'"),
        ("model", {"depth": 3}, "depth"),
        ("objective", {"c_prior_floor": -0.5}, "c_prior_floor"),
        ("objective", {"warmup": {"epoch": 3}}, "objective.warmup"),
        ("objective", {"warmup": {"epochs": -3}}, "warmup.epochs"),
        ("objective", {"warmup": 3}, "objective.warmup"),
        ("optimizer", {"name": "adm"}, "did you mean 'adam'"),
        ("optimizer", {"lr": -1.0}, "optimizer: .*-1"),
        ("optimizer", {"momentum": 0.9}, "optimizer: .*momentum"),
        ("optimizer", {"schedule": "cosinus"}, "did you mean 'cosine'"),
        ("trainer", {"max_epochs": None}, "max_epochs"),
        ("trainer", {"patience": 3}, "patience: needs validation data"),
    ],
)
def test_bad_settings_stop_before_training(tiny, write_recipe, tmp_path, section, settings, message):
    tiny[section] |= settings
    with pytest.raises(ValueError, match=message):
        train(read_recipe(write_recipe(tiny)), out=tmp_path / "out", progress=False)
    assert not list(tmp_path.glob("out/checkpoints/*"))
    assert not list(tmp_path.glob("out/metrics.csv"))


def test_bad_seeds(tiny, write_recipe, tmp_path):
    recipe = read_recipe(write_recipe(tiny))
    for seed in (-1, 2**64, 0.5):
        with pytest.raises(ValueError, match="seed"):
            train(recipe, out=tmp_path, seed=seed)


def test_missing_epochs(tiny, write_recipe):
    recipe = read_recipe(write_recipe({**tiny, "trainer": {}}))
    with pytest.raises(ValueError, match=r"trainer.max_epochs: missing"):
        fit_options(recipe)


def test_missing_data_name(tiny, write_recipe, tmp_path):
    recipe = read_recipe(write_recipe({**tiny, "data": {}}))
    with pytest.raises(ValueError, match=r"data.name: missing"):
        train(recipe, out=tmp_path)


def test_sections_are_not_changed(tiny, write_recipe):
    recipe = read_recipe(write_recipe(tiny))
    before = dataclasses.asdict(recipe)
    fit_options(recipe)
    build_model(recipe, load("digits"), 0)
    assert dataclasses.asdict(recipe) == before


def test_a_folder_that_holds_a_training_is_not_written_over(run):
    before = (run.folder / "results.json").read_bytes()
    with pytest.raises(ValueError, match=f"out: {run.folder} holds a training; go on with it by --resume"):
        train(read_recipe(str(run.folder.parent / "tiny.yaml")), out=run.folder, progress=False)
    assert (run.folder / "results.json").read_bytes() == before
