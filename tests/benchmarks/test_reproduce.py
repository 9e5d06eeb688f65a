"""The papers' tables: run, resumed, not run twice, and rendered with what was run alone."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.reproduce import cifar10_part, freyfaces, runs
from benchmarks.reproduce.__main__ import main
from benchmarks.reproduce.render import cell, page, results_of, shown
from benchmarks.reproduce.table import Row, Table, place_of
from benchmarks.reproduce.tables import TABLES
from pyro_mixvae.data import load
from pyro_mixvae.training.options import apply_options
from pyro_mixvae.training.recipe import read_recipe

TINY = Table(
    "A table", ("loss",), (Row("one", "One", "vae-digits", {"model.latent_dim": 2}, {"loss": 20.5}),), "By hand."
)
SHORT = ["--trainer.max_epochs=1"]


@pytest.mark.parametrize("name", TABLES)
def test_every_row_is_a_recipe_with_options_that_it_has(name):
    rows = TABLES[name].rows
    assert len({row.name for row in rows}) == len(rows)
    for row, short in itertools.product(rows, (False, True)):
        apply_options(read_recipe(place_of(row.recipe)), row.arguments(short))
        assert set(row.paper) <= set(TABLES[name].metrics)


def test_run_once_and_kept(tmp_path, monkeypatch):
    path = tmp_path / "results" / "tiny-one-0.json"
    record = runs.measure("tiny", TINY, TINY.rows[0], 0, tmp_path, None, "cpu", SHORT, path)
    assert record["command"].startswith("pyro-mixvae train vae-digits --model.latent_dim=2")
    assert {"command", "versions", "machine", "duration", "metrics"} <= record.keys()
    monkeypatch.setattr(runs, "train", None)  # would fail
    assert runs.measure("tiny", TINY, TINY.rows[0], 0, tmp_path, None, "cpu", SHORT, path) == record
    text = page({"tiny": TINY, "other": TABLES["gmvae"]}, path.parent)
    assert f"| One | {shown([record['metrics']['loss']])} (p 20.5) | 1 |" in text
    assert "Not run: K = 10, M = 1, beta = 4; K = 16, M = 1, beta = 4;" in text


def test_means_and_spread():
    assert shown([1.0]) == "1.000"
    assert shown([10.0, 12.0]) == "11.00 ± 1.41"


def test_a_mean_of_some_seeds_only_says_of_how_many():
    row, results = TINY.rows[0], [{"metrics": {"loss": 20.0}}, {"metrics": {"loss": 20.0, "ARI": 3.0}}]
    assert cell(row, "loss", results) == "20.00 ± 0.00 (p 20.5)"
    assert cell(row, "ARI", results) == "3.00 (of 1)"
    assert cell(row, "NMI", results) == "–"


def test_results_that_are_there_are_whole():
    for path in runs.RESULTS.glob("*.json"):
        record = json.loads(path.read_text())
        assert {"command", "versions", "machine", "duration", "metrics"} <= record.keys(), path.name
    written = runs.RESULTS.parent / "RESULTS.md"
    assert not written.exists() or written.read_text() == page(TABLES, runs.RESULTS)


def sections(recipe: str, options: list[str]) -> dict[str, dict]:
    """What is trained, but for what the machine decides (``--device``, ``--single``)."""
    sections = apply_options(read_recipe(place_of(recipe)), options)[0].sections
    trainer = sections["trainer"]
    return {**sections, "trainer": {key: trainer[key] for key in trainer.keys() - {"accelerator", "precision"}}}


@pytest.mark.parametrize("name", TABLES)
def test_results_are_of_their_rows(name):
    """A row or a recipe that is changed asks for new results."""
    for row, short in itertools.product(TABLES[name].rows, (False, True)):
        for record in results_of(name, row, runs.RESULTS, short):
            _, _, recipe, *options = shlex.split(record["command"])
            options = [option for option in options if not option.startswith("--seed") and option != "--compile"]
            assert sections(recipe, options) == sections(row.recipe, row.arguments(short)), record["command"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["gmvae", "--rows", "k11"], "there is no row 'k11'"), (["gmvae", "--set", "a=1"], "kept apart")],
)
def test_wrong_words(arguments, message, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err


def test_a_time_of_which_a_part_is_lost_says_so(tmp_path):
    record = {"metrics": {"loss": 1.0}, "processor seconds": 120.0, "resumed": True}
    (tmp_path / "tiny-one-0.json").write_text(json.dumps(record))
    assert "| at least 2.0 |" in page({"tiny": TINY}, tmp_path)


def test_trials_lie_apart(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(TABLES, "tiny", TINY)
    (tmp_path / "tiny-one-0.json").write_text(json.dumps({"metrics": {"loss": 1.0}, "processor seconds": 120.0}))
    main(["tiny", "--results", str(tmp_path)])
    assert (tmp_path / "RESULTS.md").exists()
    assert f"wrote {tmp_path / 'RESULTS.md'}" in capsys.readouterr().out


def test_the_part_of_cifar10_as_arrays(shared_data, tmp_path):
    cifar10_part.prepare(str(shared_data), tmp_path)
    images, labels = np.load(tmp_path / "images.npy"), np.load(tmp_path / "labels.npy")
    assert images.shape == (5000, 3, 32, 32)
    assert images[:3, 0, 0, 0].tolist()[0] == 59
    assert labels[:8].tolist() == [6, 9, 9, 4, 1, 1, 2, 7]
    assert labels[4000:4008].tolist() == [3, 8, 8, 0, 6, 6, 1, 6]
    with pytest.raises(ValueError, match=r"has no cifar10_labels\.js"):
        cifar10_part.prepare(str(tmp_path), tmp_path / "other")


def test_the_parts_of_the_video_of_frey_faces(shared_data, tmp_path):
    freyfaces.prepare(str(shared_data), tmp_path)
    images, labels = np.load(tmp_path / "images.npy"), np.load(tmp_path / "labels.npy")
    frames = load("freyfaces", data_dir=shared_data).train.x.numpy()
    assert images.shape == frames.shape == (1565, 1, 28, 20)
    # each image is a frame of the part that its label names, a twelfth of the video
    for image, label in zip(images[:50], labels, strict=False):
        place = int((frames == image).all((1, 2, 3)).argmax())
        assert place * 12 // 1565 == label


@pytest.mark.parametrize("name", TABLES)
def test_the_papers_numbers_have_ours_beside_them(name):
    for row, short in itertools.product(TABLES[name].rows, (False, True)):
        for result in results_of(name, row, runs.RESULTS, short=short):
            assert set(row.paper) <= result["metrics"].keys(), row.name


def test_every_line_of_a_table_has_as_many_cells():
    for line in page(TABLES, runs.RESULTS).splitlines():
        if line.startswith("| row |"):
            cells = len(re.findall(r"(?<!\\)\|", line))
        elif line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) == cells, line


def test_the_recipe_of_codes_is_its_row():
    """What the recipe says it reaches is that row's, but for the words."""
    row = TABLES["mvae-codes"].row("gs-k4-held")
    of_row, _ = apply_options(read_recipe(row.recipe), [*row.arguments(), "--trainer.precision=32-true"])
    recipe, _ = apply_options(read_recipe("mvae-mnist-codes"), ["--trainer.precision=32-true"])
    assert replace(of_row, description="", name="") == replace(recipe, description="", name="")


def test_a_training_that_two_tables_have_is_run_once():
    """Its row shows the other's file; that both are the same training, ``test_results_are_of_their_rows`` shows."""
    row = TABLES["baselines"].row("vae")
    assert runs.result_file("baselines", row, 2) == runs.RESULTS / "csrae-quality-vae-2.json"
    for table in TABLES.values():
        for row in table.rows:
            assert not row.same_as or any(
                row.same_as == f"{name}-{other.name}" for name, of in TABLES.items() for other in of.rows
            )


def test_a_row_whose_name_begins_like_anothers_is_not_that_row(tmp_path):
    for name, loss in {"tiny-one-0": 1.0, "tiny-one-more-0": 2.0, "tiny-one.short-0": 3.0}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"metrics": {"loss": loss}}))
    assert [found["metrics"]["loss"] for found in results_of("tiny", TINY.rows[0], tmp_path)] == [1.0]
    assert [found["metrics"]["loss"] for found in results_of("tiny", TINY.rows[0], tmp_path, short=True)] == [3.0]


def test_the_losses_that_the_mvae_paper_shows_of_mnist_are_cross_entropies(shared_data):
    """Figure 14 shows 140 nats falling to 100 or less: more than the mean image loses by half the squared error."""
    x = load("mnist", data_dir=shared_data).train.values().flatten(1)
    mean = x.mean(0)
    half_squared = 0.5 * (x - mean).square().sum(1).mean()
    assert half_squared == pytest.approx(26.4, abs=0.2)
    of_the_mean, of_the_data = (torch.nn.functional.binary_cross_entropy(p, x) * 784 for p in (mean.expand_as(x), x))
    assert half_squared < 100
    assert of_the_data < 100 < 140 < of_the_mean
