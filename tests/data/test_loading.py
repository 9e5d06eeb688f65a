"""One door to all data: right names open it, wrong ones get the nearest right ones."""

from __future__ import annotations

import hashlib

import pytest
import torch

from pyro_mixvae.data import MissingDataError, load, names


def test_digits_are_the_fixed_stratified_split():
    data = load("digits")
    assert data.train.x.shape == (1437, 1, 8, 8)
    assert data.test.x.shape == (360, 1, 8, 8)
    assert data.train.x.dtype == torch.float32
    assert (data.train.x * 16).unique().tolist() == list(range(17))
    assert data.test.y.bincount().tolist() == [36, 36, 35, 37, 36, 37, 36, 36, 35, 36]
    fingerprint = hashlib.sha256((data.test.x * 16).to(torch.uint8).numpy().tobytes()).hexdigest()
    assert fingerprint.startswith("3cc232bd25364446")
    assert torch.equal(data.test.x, load("digits", seed=5).test.x)


def test_the_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    data = load("digits")
    ours = torch.cat([data.train.x, data.test.x]).flatten(1) * 16
    theirs = torch.from_numpy(load_digits().data).float()
    assert sorted(map(tuple, ours.tolist())) == sorted(map(tuple, theirs.tolist()))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("digit", "did you mean 'digits'"),
        ("two-gausians", "did you mean 'two-gaussians'"),
        ("npy", "did you mean 'npy:PATH'"),
        ("digits:here", "no data set is called 'digits:here'; did you mean 'digits'"),
        ("qqqq", "allowed are digits, mnist"),
    ],
)
def test_wrong_names_get_the_nearest_right_ones(name, words):
    with pytest.raises(ValueError, match=words):
        load(name)


def test_wrong_options_get_the_nearest_right_ones():
    with pytest.raises(ValueError, match="num_point: no option of the data 'arcs'; did you mean 'num_points'"):
        load("arcs", num_point=10)
    with pytest.raises(ValueError, match="size: no option of the data 'caltech101-silhouettes'; it has none"):
        load("caltech101-silhouettes", size=3)
    with pytest.raises(ValueError, match="seed: got -1"):
        load("arcs", seed=-1)


@pytest.mark.parametrize(
    "name", ["mnist", "fashion-mnist", "svhn", "cifar10", "omniglot", "caltech101-silhouettes", "freyfaces"]
)
def test_missing_files_are_named_with_where_and_whence(name, tmp_path):
    with pytest.raises(MissingDataError, match=rf"{name}: looked for .* in {tmp_path}.*; published at http") as error:
        load(name, data_dir=tmp_path)
    assert isinstance(error.value, ValueError)
    assert isinstance(error.value, FileNotFoundError)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(MissingDataError, match="which is not a folder"):
        load("freyfaces", data_dir=tmp_path / "nowhere")


def test_the_default_folder_is_the_environment_s(tmp_path, monkeypatch):
    monkeypatch.setenv("PYRO_MIXVAE_DATA", str(tmp_path))
    with pytest.raises(MissingDataError, match=str(tmp_path)):
        load("mnist")


def test_every_name_is_listed():
    assert {"digits", "mnist", "arcs", "npy:PATH", "folder:PATH"} <= set(names())
