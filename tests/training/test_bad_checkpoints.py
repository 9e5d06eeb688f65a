"""Checkpoints that are damaged, hostile or of something else: refused by name, and nothing in them is run."""

from __future__ import annotations

import pickle
import random
import zipfile
from pathlib import Path

import pytest
import torch

from pyro_mixvae.training import fit
from pyro_mixvae.training.checkpoints import read_checkpoint
from tests.data.test_bad_files import Hostile
from tests.data.test_images import damaged
from tests.models.every_model import every, some_data
from tests.training.test_resume import same

QUIET = {"seed": 0, "progress": False, "accelerator": "cpu", "batch_size": 12, "max_epochs": 2}


@pytest.fixture(scope="module")
def content(tmp_path_factory) -> bytes:
    """A checkpoint after one epoch."""
    folder = tmp_path_factory.mktemp("run")
    fit(every("VAE"), some_data(), out=folder, **{**QUIET, "max_epochs": 1})
    return (folder / "checkpoints" / "last.ckpt").read_bytes()


def place(folder: Path, content: bytes) -> Path:
    path = folder / "checkpoints" / "last.ckpt"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def refused(folder: Path, content: bytes, seeds: range) -> int:
    """How many damaged checkpoints are refused; the others are what they were, damaged where nobody looks."""
    whole, count = read_checkpoint(place(folder, content)), 0
    for seed in seeds:
        path = place(folder, damaged(content, random.Random(seed)))
        try:
            found = read_checkpoint(path)
        except ValueError as error:
            count += 1
            assert str(path) in str(error)
            assert "\n" not in str(error)
        else:
            assert found["pyro_mixvae"]["history"] == whole["pyro_mixvae"]["history"]
            assert same(found["state_dict"], whole["state_dict"])
    return count


def test_sixty_damaged_checkpoints(tmp_path, content):
    assert refused(tmp_path, content, range(60)) > 30


@pytest.mark.slow
def test_five_hundred_damaged_checkpoints(tmp_path, content):
    assert refused(tmp_path, content, range(1000, 1500)) > 250


@pytest.mark.parametrize("size", [0, 1, 100, 0.5, 0.99])
def test_torn_checkpoints(tmp_path, content, size):
    path = place(tmp_path, content[: size if isinstance(size, int) else int(size * len(content))])
    with pytest.raises(ValueError, match=f"resume: {path} is not a whole checkpoint"):
        fit(every("VAE"), some_data(), resume=tmp_path, **QUIET)


def test_hostile_checkpoints(tmp_path, content):
    target = tmp_path / "it-ran"
    place(tmp_path, pickle.dumps(Hostile(target)))
    with pytest.raises(ValueError, match="is not a whole checkpoint"):
        fit(every("VAE"), some_data(), resume=tmp_path, **QUIET)
    path = place(tmp_path, b"")
    torch.save({**_loaded(content, tmp_path), "more": Hostile(target)}, path)
    with pytest.raises(ValueError, match="is not a whole checkpoint"):
        fit(every("VAE"), some_data(), resume=tmp_path, **QUIET)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("../../evil", b"x")
        file.writestr("archive/data.pkl", pickle.dumps(Hostile(target)))
    with pytest.raises(ValueError, match="is not a whole checkpoint"):
        fit(every("VAE"), some_data(), resume=tmp_path, **QUIET)
    assert not target.exists()
    assert not (tmp_path.parent.parent / "evil").exists()
    torch.load(_saved(Hostile(target), tmp_path), weights_only=False)
    assert target.exists(), "the pickle of this test does nothing"


def _loaded(content: bytes, folder: Path) -> dict:
    return torch.load(place(folder, content), weights_only=True)


def _saved(thing, folder: Path) -> Path:
    torch.save(thing, folder / "thing")
    return folder / "thing"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("pyro_mixvae"), "is not a checkpoint of fit"),
        (lambda c: c["state_dict"].pop("model.decoder.layers.0.weight"), "is of another model: .*Missing key"),
        (lambda c: c["state_dict"].update({"model.more": torch.zeros(1)}), "is of another model: .*Unexpected key"),
        (lambda c: c["pyro_mixvae"]["settings"].update(batch_size="13"), "batch_size: the training to resume has 13"),
    ],
    ids=["no fit", "a tensor too few", "a tensor too many", "another setting"],
)
def test_other_checkpoints(tmp_path, content, change, message):
    checkpoint = _loaded(content, tmp_path)
    change(checkpoint)
    torch.save(checkpoint, tmp_path / "checkpoints" / "last.ckpt")
    with pytest.raises(ValueError, match=message):
        fit(every("VAE"), some_data(), resume=tmp_path, **QUIET)
