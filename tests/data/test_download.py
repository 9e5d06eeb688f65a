"""Downloading: only where asked for and only what is missing (torchvision's part is played by a stand-in)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import savemat

from pyro_mixvae.data import MissingDataError, load


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def test_what_is_missing_is_fetched_once_and_then_read(tmp_path, monkeypatch):
    calls = []

    def fetch(root, download):
        calls.append((root, download))
        raw = root / "FashionMNIST" / "raw"
        raw.mkdir(parents=True)
        for prefix in ("train", "t10k"):
            (raw / f"{prefix}-images-idx3-ubyte").write_bytes(idx(np.zeros((4, 28, 28), np.uint8)))
            (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(np.arange(4, dtype=np.uint8)))

    monkeypatch.setattr("torchvision.datasets.FashionMNIST", fetch)
    with pytest.raises(MissingDataError):
        load("fashion-mnist", tmp_path, split="3/1/4")
    assert calls == []
    for _ in range(2):
        data = load("fashion-mnist", tmp_path, download=True, split="3/1/4")
    assert calls == [(tmp_path, True)]
    assert data.class_names[-1] == "ankle boot"


def test_svhn_fetches_only_the_parts_that_are_missing(tmp_path, monkeypatch):
    def write(part):
        content = {"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.array([[10], [1]], np.uint8)}
        savemat(tmp_path / f"{part}_32x32.mat", content)

    calls = []
    monkeypatch.setattr("torchvision.datasets.SVHN", lambda root, split, download: (calls.append(split), write(split)))
    write("train")
    data = load("svhn", tmp_path, download=True)
    assert calls == ["test"]
    assert data.train.y.tolist() == [0, 1]


@pytest.mark.parametrize(("name", "stand_in"), [("mnist", "MNIST"), ("svhn", "SVHN"), ("cifar10", "CIFAR10.download")])
def test_a_download_that_fails_is_one_line(name, stand_in, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("no network here")

    monkeypatch.setattr(f"torchvision.datasets.{stand_in}", fail)
    with pytest.raises(
        MissingDataError, match=rf"data_dir: could not download (?i:{name}).*: no network here"
    ) as error:
        load(name, tmp_path, download=True)
    assert "\n" not in str(error.value)
