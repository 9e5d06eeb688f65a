"""Files of data sets that hold what they should not: refused by name, and nothing in them is run."""

from __future__ import annotations

import gzip
import io
import pickle
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from pyro_mixvae.data import MissingDataError, load
from tests.data.test_files import idx
from tests.data.test_images import damaged


def omniglot(**changes):
    number = 1300
    blank, first = np.zeros((784, number)), np.eye(50)[:, np.zeros(number, int)]
    return {"data": blank, "target": first, "testdata": blank, "testtarget": first} | changes


def faces(frames):
    return {"ff": frames}


def svhn(value=0, label=10):
    return {"X": np.full((32, 32, 3, 2), value), "y": np.array([[1], [label]])}


def silhouettes(label=101):
    parts = {}
    for name in ("train", "val", "test"):
        parts |= {f"{name}_data": np.zeros((3, 784), np.uint8), f"{name}_labels": np.array([[1], [2], [label]])}
    return parts


SILHOUETTES = "caltech101_silhouettes_28_split1.mat"


@pytest.mark.parametrize(
    ("name", "file", "content", "words"),
    [
        ("freyfaces", "frey_rawface.mat", faces(np.full((560, 2), 300)), "1120 of 1120 grey values outside 0..255"),
        ("freyfaces", "frey_rawface.mat", faces(np.full((560, 2), np.nan)), "expected an array of finite numbers"),
        ("freyfaces", "frey_rawface.mat", faces("faces"), "ff is an array of <U5; expected"),
        ("freyfaces", "frey_rawface.mat", faces({"x": 1.0}), "ff is an array of .*; expected"),
        ("freyfaces", "frey_rawface.mat", faces(np.zeros((2, 560))), r"ff has shape \(2, 560\), expected \(560, N\)"),
        ("freyfaces", "frey_rawface.mat", {"gg": np.zeros((560, 2))}, "lacks ff; it holds gg"),
        ("omniglot", "chardata.mat", omniglot(data=np.full((784, 1300), 1.5)), "grey values outside 0..1"),
        ("omniglot", "chardata.mat", omniglot(target=np.zeros((5, 1300))), r"targets \(5, 1300\)"),
        ("caltech101-silhouettes", SILHOUETTES, silhouettes(102), "3 labels outside 1..101, the first at .* 102"),
        ("caltech101-silhouettes", SILHOUETTES, silhouettes(0), "labels outside 1..101"),
        ("svhn", "train_32x32.mat", svhn(label=57), r"1 of 2 labels outside 1..10, the first at index \(1,\): 57"),
        ("svhn", "train_32x32.mat", svhn(value=256), "values outside 0..255"),
    ],
)
def test_other_contents_of_mat_files(tmp_path, name, file, content, words):
    savemat(tmp_path / file, content)
    if name == "svhn":
        savemat(tmp_path / "test_32x32.mat", svhn())
    with pytest.raises(ValueError, match=rf"{tmp_path / file}: .*{words}"):
        load(name, tmp_path)


def test_labels_of_mnist_outside_the_digits(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix in ("train", "t10k"):
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(idx(np.zeros((3, 28, 28), np.uint8)))
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(np.array([0, 10, 200], np.uint8)))
    with pytest.raises(ValueError, match=rf"{raw}: 2 of 3 train labels outside 0..9, the first at index \(1,\): 10"):
        load("mnist", tmp_path, split="2/1/3")


@pytest.mark.parametrize("content", [b"\x1f\x8b\x08", b"", b"\x1f"], ids=["three bytes", "empty", "one byte"])
def test_a_gzip_file_of_three_bytes(tmp_path, content):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.gz: "):
        load("mnist", tmp_path)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.array([0, -2, 1]), r"y.npy: 1 of 3 labels outside -1..9.*, the first at index \(1,\): -2"),
        (np.array([-1, -1, -1]), "holds -1 only, so no label at all"),
        (np.array([0.0, 1.0, 2.0]), "of float64, expected 3 integers"),
    ],
)
def test_labels_of_an_array(tmp_path, labels, words):
    np.save(tmp_path / "x.npy", np.zeros((3, 2), np.float32))
    np.save(tmp_path / "y.npy", labels)
    with pytest.raises(ValueError, match=words):
        load(f"npy:{tmp_path}/x.npy", labels=tmp_path / "y.npy")


@pytest.mark.parametrize("dtype", [">f4", "f16", "c8", "i4", "bool", "U3", [("a", "f4")]], ids=str)
def test_types_of_an_array(tmp_path, dtype):
    np.save(tmp_path / "x.npy", np.zeros((3, 2), dtype))
    with pytest.raises(ValueError, match=r"x.npy: dtype is .*; allowed are uint8 and floating point"):
        load(f"npy:{tmp_path}/x.npy")


# --- files that would run code if they were let ----------------------------------------------------------------------


class Hostile:
    """Unpickled, it writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


def test_pickles_renamed_to_our_names(tmp_path):
    target = tmp_path / "run"
    bad = pickle.dumps(Hostile(target))
    (tmp_path / "frey_rawface.mat").write_bytes(bad)
    (tmp_path / "x.npy").write_bytes(bad)
    np.save(tmp_path / "objects.npy", np.array([Hostile(target)]), allow_pickle=True)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(bad)
    batches = tmp_path / "cifar-10-batches-py"
    batches.mkdir()
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"):
        (batches / name).write_bytes(bad)
    for source in ("freyfaces", f"npy:{tmp_path}/x.npy", f"npy:{tmp_path}/objects.npy", f"folder:{tmp_path}/images"):
        with pytest.raises(ValueError, match="not a readable") as error:
            load(source, tmp_path)
        # NumPy's own words are an advice to let them run
        assert "allow_pickle" not in str(error.value)
    with pytest.raises(ValueError, match="the files are not the published ones"):
        load("cifar10", tmp_path)
    assert not target.exists()
    pickle.loads(bad)
    assert target.exists(), "the pickle of this test does nothing"


def test_an_archive_that_is_none(tmp_path):
    (tmp_path / "list_attr_celeba.txt").write_text("1\nMale Eyeglasses Smiling\n000001.jpg 1 1 -1\n\n")
    (tmp_path / "list_eval_partition.txt").write_text("000001.jpg 0\n")
    archive = tmp_path / "img_align_celeba.zip"
    archive.write_bytes(b"no archive")
    with pytest.raises(ValueError, match=f"{archive}: cannot be read"):
        load("celeba", tmp_path)
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("img_align_celeba/000001.jpg", b"\xff" * 300)
    content = archive.read_bytes()
    archive.write_bytes(content.replace(b"\xff" * 300, b"\xfe" * 300))
    with pytest.raises(ValueError, match=rf"{archive}: img_align_celeba/000001.jpg cannot be read \(Bad CRC"):
        load("celeba", tmp_path)
    (tmp_path / "list_eval_partition.txt").write_bytes(b"000001.jpg \xff\n")
    with pytest.raises(ValueError, match=r"list_eval_partition.txt: cannot be read .*utf-8"):
        load("celeba", tmp_path)


# --- any damage ------------------------------------------------------------------------------------------------------


def written(kind: str) -> bytes:
    numbers, file = np.random.default_rng(0).random((20, 6)), io.BytesIO()
    if kind == "npy":
        np.save(file, numbers)
    elif kind == "mat":
        # compressed arrays carry a checksum; plain ones can crash scipy's reader, of which read_mat warns
        savemat(file, {"ff": (numbers * 255).astype(np.uint8)}, do_compression=True)
    else:
        file.write(gzip.compress(idx((numbers * 255).astype(np.uint8))))
    return file.getvalue()


def count_refused(folder: Path, seeds: range) -> int:
    from pyro_mixvae.data.files import read_idx, read_mat

    read = {
        "npy": lambda path: load(f"npy:{path}"),
        "mat": lambda path: read_mat(path, ["ff"]),
        "gz": read_idx,
    }
    contents, count = {kind: written(kind) for kind in read}, 0
    for seed in seeds:
        choice = random.Random(seed)
        kind = choice.choice(list(read))
        path = folder / f"file.{kind}"
        path.write_bytes(damaged(contents[kind], choice))
        try:
            read[kind](path)
        except MissingDataError:
            raise
        except ValueError as error:
            count += 1
            assert path.name in str(error)
    return count


@pytest.mark.filterwarnings("ignore")
def test_two_hundred_damaged_arrays(tmp_path):
    assert count_refused(tmp_path, range(200)) > 60


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_two_thousand_damaged_arrays(tmp_path):
    assert count_refused(tmp_path, range(1000, 3000)) > 600
