"""Coming back to a run folder, from Python and from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pyro_mixvae.cli import main
from pyro_mixvae.models import VAE
from pyro_mixvae.training.finished_run import FinishedRun, evaluate_run, open_run, sample_run
from pyro_mixvae.training.recipe import read_recipe
from pyro_mixvae.training.run import train

RECIPE = """
description: three components, far too short
model:
  class: GMVAE
  latent_dim: 2
  num_components: 3
  style_dim: 2
  encoder: {kind: mlp, hidden_dims: [8]}
  decoder: {kind: mlp, hidden_dims: [8]}
  prior_network: {kind: mlp, hidden_dims: [8], activation: tanh}
objective: {c_prior_floor: log K}
data: {name: digits, batch_size: 500}
optimizer: {lr: 0.01}
trainer: {max_epochs: 2}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("run")
    (place / "tiny.yaml").write_text(RECIPE)
    return train(read_recipe(str(place / "tiny.yaml")), out=place / "out", seed=3, progress=False).folder


def test_a_run_is_read_as_it_was_left(folder: Path) -> None:
    run = open_run(folder)
    assert run.recipe.seed == run.config["seed"] == 3
    assert [row["epoch"] for row in run.history] == [0, 1]
    assert run.history[1]["train/loss"] > 0
    assert not run.model.training


def test_the_same_seed_gives_the_same_results_again(folder: Path, tmp_path: Path) -> None:
    written = json.loads((folder / "results.json").read_text())["results"]["GMVAE"]
    evaluation = evaluate_run(open_run(folder), out=tmp_path)
    assert evaluation.results == pytest.approx(written, rel=1e-6)
    again = json.loads((tmp_path / "results.json").read_text())
    assert again["results"]["GMVAE"] == evaluation.results
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert (tmp_path / "components.png").exists()


def test_samples_as_numbers_are_the_models_own(folder: Path, tmp_path: Path) -> None:
    run = open_run(folder)
    before = torch.get_rng_state()
    values = np.load(sample_run(run, tmp_path / "new" / "x.npy", num=7, component=2, seed=5))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(5)
    np.testing.assert_array_equal(values, run.model.sample(7, component=2).numpy())


@pytest.mark.parametrize("event_shape", [(4, 4), (4, 4, 3), (2, 4, 4), (3, 4, 4), (5,)])
def test_a_picture_of_whatever_the_data_are(folder: Path, tmp_path: Path, event_shape: tuple[int, ...]) -> None:
    """What is no image of one or three channels is shown as points."""
    run, network = open_run(folder), {"kind": "mlp", "hidden_dims": [8]}
    model = VAE(event_shape, latent_dim=2, encoder=network, decoder=network).eval()
    picture = sample_run(FinishedRun(folder, run.recipe, run.config, model, []), tmp_path / "x.png", num=6)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_command_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "samples.png"
    assert main(["sample", str(folder), "--num", "12", "--component", "1", "--out", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main(["evaluate", str(folder), "--num-samples", "20", "--out", str(tmp_path / "again")]) == 0
    printed = capsys.readouterr().out
    assert "accuracy (most-confident)" in printed and "k-means" in printed
    assert (tmp_path / "again" / "results.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", "RUN", "--component", "3"], "component: expected 0..2, got 3"),
        (["sample", "RUN", "--num", "0"], "n: expected an integer >= 1"),
        (["sample", "RUN", "--out", "x.jpg"], "out: expected a file ending in .png or .npy, got 'x.jpg'"),
        (["sample", "RUN", "--seed", "-1"], "seed"),
        (["sample", "nowhere"], "run: nowhere has no config.yaml"),
        (["evaluate", "nowhere"], "run: nowhere has no config.yaml"),
        (["evaluate", "RUN", "--num-samples", "0"], "num_samples: expected an integer >= 1"),
        (["evaluate", "RUN", "--sedd", "1"], "did you mean --seed"),
        (["evalute", "RUN"], "did you mean evaluate"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main([str(folder) if word == "RUN" else word for word in arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_an_unfinished_run(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(RECIPE)
    with pytest.raises(ValueError, match="has no model"):
        open_run(tmp_path)


def test_a_damaged_table(folder: Path, tmp_path: Path) -> None:
    import shutil

    broken = shutil.copytree(folder, tmp_path / "broken")
    (broken / "metrics.csv").write_text("epoch,loss\n0,much\n")
    with pytest.raises(ValueError, match="not a table of numbers"):
        open_run(broken)
