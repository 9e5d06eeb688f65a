"""The command line: what it prints, what it leaves, and one line for everything that is wrong."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import pyro_mixvae
from pyro_mixvae import cli
from pyro_mixvae.cli import main
from pyro_mixvae.training.recipe import recipe_names

TINY = """
description: three components, far too short
model:
  class: GMVAE
  latent_dim: 2
  num_components: 3
  style_dim: 2
  encoder: {kind: mlp, hidden_dims: [8]}
  decoder: {kind: mlp, hidden_dims: [8]}
  prior_network: {kind: mlp, hidden_dims: [8], activation: tanh}
objective: {c_prior_floor: log K, warmup: {epochs: 1, sites: [z]}}
data: {name: "npy:data.npy", labels: labels.npy, split: 30/0/20, batch_size: 10}
optimizer: {lr: 0.01}
trainer: {max_epochs: 2}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with a recipe and 50 small grey images, and the command line in it."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    np.save("data.npy", np.random.default_rng(0).random((50, 4, 4), dtype=np.float32))
    np.save("labels.npy", np.arange(50) % 3)
    return tmp_path


def run(capsys, *arguments) -> tuple[int, str, str]:
    """Exit status, standard output, standard error."""
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as exit_:
        status = int(exit_.code or 0)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def refused(capsys, *arguments) -> str:
    """The one line that a refused command prints."""
    status, _, error = run(capsys, *arguments)
    assert status == 2
    assert error.count("\n") == 1
    assert error.startswith("pyro-mixvae: error: ")
    assert "Traceback" not in error
    return error.strip()


def untrained(folder="out") -> bool:
    return not list(Path(folder).glob("checkpoints/*")) and not Path(folder, "results.json").exists()


# --- what works ------------------------------------------------------------------------------------------------------


def test_train(capsys):
    status, out, error = run(capsys, "train", "tiny.yaml", "--out", "out", "--seed", 3)
    assert status == 0
    assert error == ""
    lines = out.splitlines()
    assert lines[0].startswith("epoch 1/2  loss ")
    assert "tiny, test data" in lines
    results = json.loads(Path("out/results.json").read_text())["results"]
    table = {line[:26].strip(): line[26:].split() for line in lines}
    for name, value in results["GMVAE"].items():
        assert float(table[name][0]) == pytest.approx(value, abs=0.006)
    assert len(table["NMI"]) == 2
    assert "nats per datum" in out
    assert lines[-1] == "out/report.html"
    assert Path("out/report.html").exists()
    assert pyro_mixvae.load("out/model").num_components == 3


def test_train_again_from_the_runs_own_config(capsys):
    run(capsys, "train", "tiny.yaml", "--out", "out", "--seed", 3, "--optimizer.lr", 0.005)
    assert run(capsys, "train", "out/config.yaml", "--out", "again")[0] == 0
    assert Path("again/metrics.csv").read_bytes() == Path("out/metrics.csv").read_bytes()


def test_options_change_the_recipe_and_runs_are_a_folder_by_default(capsys):
    options = "--trainer.max_epochs 1 --model.num_components=4 --objective.warmup null --data.batch_size 7 --quiet"
    status, out, _ = run(capsys, "train", "tiny.yaml", *options.split())
    assert status == 0
    assert "epoch" not in out
    (made,) = Path("runs/tiny").iterdir()
    rows = (made / "metrics.csv").read_text().splitlines()
    assert len(rows) == 2
    assert "warmup" not in rows[0]
    assert pyro_mixvae.load(made / "model").num_components == 4


def test_early_stopping_and_trainer_options(capsys):
    options = ["--data.split=20/10/20", "--trainer.patience=1", "--trainer.max_epochs=9", "--optimizer.lr=0.5"]
    status, _, error = run(capsys, "train", "tiny.yaml", "--out", "out", "--quiet", *options)
    assert (status, error) == (0, "")
    assert len(Path("out/metrics.csv").read_text().splitlines()) < 10
    assert Path("out/checkpoints/best.ckpt").exists()


def test_recipes(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, error = run(capsys, "recipes")
    assert (status, error) == (0, "")
    for name in recipe_names():
        assert f" {name} " in out
    assert run(capsys, "recipes", "--help")[0] == 0


def test_help_and_version(capsys):
    for arguments in (["--help"], ["-h"]):
        status, out, error = run(capsys, *arguments)
        assert (status, error) == (0, "")
        assert "train RECIPE" in out
        assert "recipes" in out
    assert run(capsys)[0] == 2
    assert run(capsys, "--version")[:2] == (0, f"{pyro_mixvae.__version__}\n")
    status, out, _ = run(capsys, "train", "--help")
    assert status == 0
    assert "gmvae-digits" in out
    status, out, _ = run(capsys, "train", "gmvae-digits", "--help")
    assert status == 0
    assert "--model.latent_dim" in out


def test_console_script():
    """The program itself, as a newcomer types it."""
    script = shutil.which("pyro-mixvae", path=str(Path(sys.executable).parent))
    if script is None:
        pytest.skip("the package is not installed")
    done = subprocess.run([script, "train", "tiny.yaml", "--out", "out"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert Path("out/report.html").exists()
    failed = subprocess.run([script, "train", "tinny"], capture_output=True, text=True, timeout=300)
    assert failed.returncode == 2
    assert failed.stderr.count("\n") == 1
    assert "Traceback" not in failed.stderr


# --- wrong names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian", "gmvae-digits"], "command: no 'trian'; did you mean train"),
        (["recipe"], "did you mean recipes"),
        (["train", "gmvae-digit"], "gmvae-digits"),
        (["train"], "which recipe"),
        (["train", "--seed", "3"], "which recipe"),
        (["train", "missing.yaml"], "recipe: cannot read missing.yaml: No such file"),
        (["recipes", "all"], "recipes: takes no arguments"),
        (["train", "tiny.yaml", "--model.num_component", "3"], "did you mean --model.num_components"),
        (["train", "tiny.yaml", "--epochs", "3"], "no option --epochs; did you mean --trainer.max_epochs"),
        (["train", "tiny.yaml", "--data.name", "digts"], "did you mean 'digits'"),
        (["train", "tiny.yaml", "--data.name", "minst"], "no data set is called 'minst'; did you mean 'mnist'"),
        (["train", "tiny.yaml", "--optimizer.name", "adma"], "did you mean 'adam"),
        (["train", "tiny.yaml", "--optimizer.schedule", "cosin"], "did you mean 'cosine'"),
        (["train", "tiny.yaml", "--model.likelihood", "norml"], "did you mean 'normal'"),
        (["train", "tiny.yaml", "--model.encoder.kind", "mpl"], "did you mean 'mlp'"),
        (["train", "tiny.yaml", "--model.encoder.activation", "rleu"], "relu"),
    ],
)
def test_wrong_names_get_the_nearest_right_ones(capsys, arguments, message):
    # another data set does not take this one's options
    recipe = Path("tiny.yaml").read_text()
    if "--data.name" in arguments:
        Path("tiny.yaml").write_text(recipe.replace("labels: labels.npy, split: 30/0/20, ", ""))
    assert message in refused(capsys, *arguments)
    assert untrained()


# --- bad input -------------------------------------------------------------------------------------------------------


def with_value(value, count=1):
    x = np.random.default_rng(0).random((50, 4, 4), dtype=np.float32)
    x[7, 1, 2] = value
    return x


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (with_value(np.nan), "not finite"),
        (with_value(np.inf), "not finite"),
        (with_value(1.5), "[0, 1]"),
        (with_value(-0.01), "[0, 1]"),
        (np.zeros((50, 4, 4), dtype=np.int64), "dtype"),
        (np.zeros(50, dtype=np.float32), "shape"),
    ],
)
def test_bad_data(capsys, x, message):
    np.save("data.npy", x)
    assert message in refused(capsys, "train", "tiny.yaml", "--out", "out")
    assert untrained()


def test_wrong_image_size(capsys):
    """Images of several sizes in a folder."""
    from PIL import Image

    Path("images").mkdir()
    for number, size in enumerate([(4, 4), (4, 4), (5, 4)]):
        Image.new("L", size).save(f"images/{number}.png")
    Path("tiny.yaml").write_text(TINY.replace("labels: labels.npy, split: 30/0/20, ", ""))
    message = refused(capsys, "train", "tiny.yaml", "--data.name", "folder:images", "--out", "out")
    assert "2.png" in message
    assert untrained()


def test_labels_outside_their_range(capsys):
    np.save("labels.npy", np.arange(50) % 3 - 2)
    assert "-1" in refused(capsys, "train", "tiny.yaml", "--out", "out")
    np.save("labels.npy", np.arange(49) % 3)
    assert "labels" in refused(capsys, "train", "tiny.yaml", "--out", "out")
    assert untrained()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model.num_components", "0"], "num_components: expected an integer >= 1, got 0"),
        (["--model.num_components=-3"], "num_components: expected an integer >= 1, got -3"),
        (["--model.num_components", "2.5"], "--model.num_components: expected int, got 2.5"),
        (["--objective.c_prior_floor", "-1"], "c_prior_floor: expected nats >= 0"),
        (["--objective.c_prior_floor", "log k"], "c_prior_floor"),
        (["--objective.num_particles", "0"], "num_particles"),
        (["--objective.warmup.epochs", "-1"], "warmup.epochs"),
        (["--objective.warmup.sites", "[q]"], "'q'"),
        (["--data.batch_size", "0"], "batch_size"),
        (["--data.batch_size", "many"], "--data.batch_size: expected int, got many"),
        (["--data.split", "1/2"], "split"),
        (["--data.split", "30/0/30"], "asks for 60 data, there are 50"),
        (["--data.binarize", "maybe"], "binarize"),
        (["--optimizer.lr", "-1"], "optimizer: "),
        (["--optimizer.lr", ".nan"], "optimizer: "),
        (["--optimizer.clip", "0"], "clip"),
        (["--optimizer.accumulate", "0"], "accumulate"),
        (["--optimizer.betas", "[0.9]"], "optimizer.betas: expected two numbers in [0, 1), got [0.9]"),
        (["--optimizer.name", "sgd", "--optimizer.betas", "[0.9, 0.99]"], "betas"),
        (["--trainer.max_epochs", "0"], "max_epochs: expected an integer >= 1, got 0"),
        (["--trainer.max_epochs", "null"], "max_epochs"),
        (["--trainer.patience", "3"], "patience: needs validation data"),
        (["--trainer.accelerator", "abacus"], "abacus"),
        (["--trainer.precision", "12"], "12"),
        (["--trainer.devices", "0"], "devices"),
        (["--trainer.devices", "-5"], "trainer: "),
        (["--trainer.limit_train_batches", "0"], "limit_train_batches: expected a number of batches >= 1"),
        (["--seed", "-1"], "seed"),
        (["--seed", "99999999999999999999999"], "seed"),
        (["--seed", "x"], "--seed: expected int, got x"),
        (["--data.name", "npy:none.npy"], "none.npy"),
        (["--data.labels", "none.npy"], "none.npy"),
        (["--model.encoder.hidden_dims", "[0]"], "encoder"),
        (["--model.encoder.hidden_dims", "wide"], "encoder"),
    ],
)
def test_bad_settings(capsys, arguments, message):
    assert message in refused(capsys, "train", "tiny.yaml", "--out", "out", *arguments)
    assert untrained()


def test_unreadable_data_folder(capsys):
    Path("tiny.yaml").write_text(TINY.replace("labels: labels.npy, split: 30/0/20, ", ""))
    for arguments in (
        ["--data.name", "mnist", "--data-dir", "nowhere"],
        ["--data.name", "mnist", "--data-dir", "data.npy"],
        ["--data.name", "folder:nowhere"],
        ["--data.name", "folder:data.npy"],
    ):
        message = refused(capsys, "train", "tiny.yaml", "--out", "out", *arguments)
        assert "nowhere" in message or "data.npy" in message
    Path("damaged.npy").write_bytes(Path("data.npy").read_bytes()[:200])
    assert "damaged.npy" in refused(capsys, "train", "tiny.yaml", "--data.name", "npy:damaged.npy", "--out", "out")
    assert untrained()


def test_unwritable_output_folder(capsys):
    """A path below a file is unwritable even for root."""
    message = refused(capsys, "train", "tiny.yaml", "--out", "data.npy/run")
    assert "out: cannot write to data.npy/run" in message


def test_bad_recipes(capsys):
    Path("tiny.yaml").write_text(TINY.replace("lr: 0.01", "lr: fast"))
    assert "--optimizer.lr: expected float, got fast" in refused(capsys, "train", "tiny.yaml")
    Path("tiny.yaml").write_text(TINY.replace("optimizer:", "optimiser:"))
    assert "no 'optimiser'; did you mean optimizer" in refused(capsys, "train", "tiny.yaml")
    Path("tiny.yaml").write_text("[")
    assert "not YAML" in refused(capsys, "train", "tiny.yaml")


# --- a training that fails -------------------------------------------------------------------------------------------


def test_divergence_is_one_line_and_status_1(capsys):
    arguments = ["--optimizer.name", "sgd", "--optimizer.lr", "1e20", "--model.likelihood", "normal"]
    status, _, error = run(capsys, "train", "tiny.yaml", "--out", "out", "--quiet", *arguments)
    assert status == 1
    assert error.count("\n") == 1
    assert "step " in error
    assert not Path("out/results.json").exists()


def test_pyros_table_of_shapes_is_no_part_of_the_line(capsys, monkeypatch):
    def refuse(arguments):
        raise ValueError("at site 'z':\n  bad shape\nTrace Shapes:\n Param Sites:\n Sample Sites:")

    monkeypatch.setattr(cli, "_recipes", refuse)
    assert refused(capsys, "recipes") == "pyro-mixvae: error: at site 'z': bad shape"


def test_nothing_of_the_callers_is_touched(capsys):
    before = torch.get_rng_state()
    run(capsys, "train", "tiny.yaml", "--out", "out", "--quiet", "--trainer.max_epochs", 1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_default_dtype() == torch.float32


# --- help ------------------------------------------------------------------------------------------------------------

HELPS = [["--help"], ["recipes", "--help"], ["train", "--help"], ["sweep", "--help"], ["evaluate", "--help"]]
HELPS += [["sample", "--help"], ["completion", "--help"], ["recipes"], ["train", "gmvae-digits", "--help"]]
OTHERS = ["mixture-csrae-digits", "ss-csrae-digits", "factorial-digits", "mvae-digits", "mpvae-digits", "vae-digits"]


@pytest.mark.parametrize(
    "arguments",
    [pytest.param(words, id=" ".join(words)) for words in HELPS]
    + [pytest.param(["train", name, "--help"], id=name, marks=pytest.mark.slow) for name in OTHERS],
)
def test_help_fits_eighty_columns_and_says_what_each_option_is(capsys, monkeypatch, arguments):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(Path(__file__).parent)
    status, out, error = run(capsys, *arguments)
    assert (status, error) == (0, "")
    assert [line for line in out.splitlines() if len(line) > 80] == []
    assert ":class:" not in out and "``" not in out
    options = re.split(r"\n  (?=-)", out)[1:]
    unexplained = [text.split()[0] for text in options if not re.sub(r"^\S+( \S+)?|\(.*?\)", "", text).strip()]
    assert unexplained == []
