"""A sweep: the runs, what is chosen and by what, and going on where it stopped."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
import yaml

import pyro_mixvae
from pyro_mixvae.cli import main
from pyro_mixvae.models import Classifier
from pyro_mixvae.training import sweep as sweeping
from pyro_mixvae.training.image_quality import open_features
from pyro_mixvae.training.recipe import read_recipe
from pyro_mixvae.training.sweep import Sweep, parse_over, sweep

TINY = """
model: {class: CSRAE, latent_dim: 2, encoder: {kind: mlp, hidden_dims: [8]}, decoder: {kind: mlp, hidden_dims: [8]}}
objective: {scale: 1.0}
data: {name: digits, batch_size: 500, validation: 237}
optimizer: {lr: 0.01}
trainer: {max_epochs: 2}
"""
VALUES = ["0.1", "5"]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(TINY)
    return read_recipe(str(path))


@pytest.fixture(scope="module")
def features(tmp_path_factory) -> str:
    """An untrained classifier in the place of a feature network."""
    torch.manual_seed(0)
    model = Classifier((1, 8, 8), num_classes=3, encoder={"hidden_dims": []}, feature_dim=4)
    return str(pyro_mixvae.save(model.eval(), tmp_path_factory.mktemp("run") / "model"))


@pytest.fixture(scope="module")
def stopped_and_gone_on(recipe, features, tmp_path_factory) -> tuple[Sweep, list[str]]:
    """A sweep that is interrupted before its second run, and made again; and the runs that the second call made."""
    folder, made = tmp_path_factory.mktemp("sweep"), []
    train = sweeping.train

    def counting(changed, place, *rest, **options):
        made.append(place.name)
        if made == ["objective.scale=0.1", "objective.scale=5"]:
            raise KeyboardInterrupt
        return train(changed, place, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeping, "train", counting)
        with pytest.raises(KeyboardInterrupt):
            sweep(recipe, "objective.scale", VALUES, out=folder, seed=3, progress=False)
        first = len(made)
        found = sweep(
            recipe,
            "objective.scale",
            VALUES,
            out=folder,
            seed=3,
            progress=False,
            features=open_features(features),
        )
    return found, made[first:]


def test_it_goes_on_where_it_stopped(stopped_and_gone_on) -> None:
    _, made = stopped_and_gone_on
    assert made == ["objective.scale=5"]


def test_criterion_is_reconstruction_plus_divergence_at_one(stopped_and_gone_on) -> None:
    """Of the last epoch, on validation data, whatever the training's weight; the smallest is chosen."""
    found, _ = stopped_and_gone_on
    for value, row in zip(found.values, found.rows, strict=True):
        place = found.folder / f"objective.scale={value}"
        last = list(csv.DictReader((place / "metrics.csv").read_text().splitlines()))[-1]
        assert row["criterion"] == float(last["validation/loss"])
        assert row["criterion"] == pytest.approx(row["reconstruction"] + row["divergence"], rel=1e-6)
        assert yaml.safe_load((place / "config.yaml").read_text())["objective"]["scale"] == float(value)
        assert row["log-likelihood"] < 0
    criteria = [row["criterion"] for row in found.rows]
    assert found.chosen == found.values[criteria.index(min(criteria))]


def test_files_say_what_was_chosen_and_by_which_network(stopped_and_gone_on) -> None:
    found, _ = stopped_and_gone_on
    content = json.loads((found.folder / "sweep.json").read_text())
    name = content["features"]
    assert content["chosen"] == found.chosen and list(content["runs"]) == VALUES
    assert f"Frechet distance ({name})" in content["runs"]["5"]
    page = (found.folder / "sweep.md").read_text()
    assert f"| {found.chosen} * |" in page and f"Inception Score ({name})" in page
    assert (found.folder / "trade_off.png").read_bytes().startswith(b"\x89PNG")


def test_runs_of_other_settings_are_not_taken_for_these(stopped_and_gone_on, recipe) -> None:
    found, _ = stopped_and_gone_on
    with pytest.raises(ValueError, match=r"run of other settings: --seed: the run to resume has 3, got 4; choose"):
        sweep(recipe, "objective.scale", VALUES, out=found.folder, seed=4, progress=False)
    with pytest.raises(ValueError, match=r"run of other settings: --optimizer\.lr"):
        sweep(recipe, "objective.scale", VALUES, ["--optimizer.lr=0.1"], out=found.folder, seed=3, progress=False)


def test_bad_input(recipe, tmp_path, capsys) -> None:
    for text in ("scale=1,2", "objective.scale=1", "objective.scale=1,1", ""):
        with pytest.raises(ValueError, match="--over: got"):
            parse_over(text)
    with pytest.raises(ValueError, match=r"no option --objective.scal; did you mean --objective.scale"):
        sweep(recipe, "objective.scal", VALUES, out=tmp_path)
    with pytest.raises(ValueError, match=r"--objective.scale: expected float, got x"):
        sweep(recipe, "objective.scale", ["1", "x"], out=tmp_path)
    with pytest.raises(ValueError, match="sweep: values are chosen by validation data, but digits has none"):
        sweep(recipe, "objective.scale", VALUES, ["--data.validation=0"], out=tmp_path)
    assert not list(tmp_path.iterdir())
    assert main(["sweep"]) == 2 and "which recipe" in capsys.readouterr().err
    assert main(["sweep", "--help"]) == 0 and "--over" in capsys.readouterr().out


def test_features_must_be_a_classifiers(tmp_path) -> None:
    from pyro_mixvae.models import CSRAE

    pyro_mixvae.save(CSRAE((4,)), tmp_path)
    with pytest.raises(ValueError, match="holds a CSRAE; expected a Classifier"):
        open_features(str(tmp_path))


def test_the_command(tmp_path: Path, recipe, capsys) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    out = ["--out", str(tmp_path / "out"), "--quiet", "--trainer.max_epochs=1"]
    assert main(["sweep", str(path), "--over", "objective.scale=0.5,2", *out]) == 0
    assert "* chosen by the validation objective" in capsys.readouterr().out
    assert (tmp_path / "out" / "objective.scale=0.5" / "report.html").exists()
