"""Reading published files: real ones, and damaged ones."""

from __future__ import annotations

import gzip
import shutil

import numpy as np
import pytest
import torch
from scipy.io import savemat

from pyro_mixvae.data import load
from pyro_mixvae.data.files import column_major_images, read_idx, read_mat


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


@pytest.fixture
def small_mnist(tmp_path):
    """Ten training and five test images in the layout of MNIST."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, number in (("train", 10), ("t10k", 5)):
        images = np.arange(number * 784, dtype=np.uint8).reshape(number, 28, 28)
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(idx(images))
        (raw / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.arange(number, dtype=np.uint8))))
    return tmp_path


def test_an_idx_file_reads_back(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (4, 3, 2), np.uint8)
    (tmp_path / "plain").write_bytes(idx(array))
    (tmp_path / "packed.gz").write_bytes(gzip.compress(idx(array)))
    assert torch.equal(read_idx(tmp_path / "plain"), torch.from_numpy(array))
    assert torch.equal(read_idx(tmp_path / "packed.gz"), torch.from_numpy(array))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no idx file of bytes"),
        (b"PNG!", "no idx file of bytes"),
        (b"\0\0\x0d\x01\0\0\0\0", r"no idx file of bytes \(begins with 00 00 0d 01"),
        (b"\0\0\x08\x03\0\0\0\x01", "its header"),
        (idx(np.zeros((3, 4), np.uint8))[:-1], "holds 23 bytes, but its header .* asks for 24"),
        (idx(np.zeros((3, 4), np.uint8)) + b"\0", "holds 25 bytes"),
    ],
)
def test_damaged_idx_files_are_named(tmp_path, content, words):
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{path}: .*{words}"):
        read_idx(path)


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b"no gzip", lambda b: b[:20] + b"~~~~" + b[24:]])
def test_damaged_gzip_files_are_named(tmp_path, damage):
    path = tmp_path / "images.gz"
    noise = np.random.default_rng(0).integers(0, 256, (4, 28, 28), np.uint8)
    path.write_bytes(damage(gzip.compress(idx(noise))))
    with pytest.raises(ValueError, match=f"{path}: "):
        read_idx(path)


def test_mat_files_without_the_array_are_named(tmp_path):
    path = tmp_path / "faces.mat"
    savemat(path, {"other": np.zeros(3)})
    with pytest.raises(ValueError, match=rf"{path}: lacks ff; it holds other"):
        read_mat(path, ("ff",))
    path.write_bytes(b"this is no MATLAB file, however long the text may be" * 9)
    with pytest.raises(ValueError, match=f"{path}: not a readable MATLAB 5 file"):
        read_mat(path, ("ff",))


def test_column_major_images_stand_upright():
    upright = np.arange(12).reshape(2, 2, 3)
    flat = np.stack([image.flatten(order="F") for image in upright])
    assert torch.equal(column_major_images(flat, 2, 3), torch.from_numpy(upright).unsqueeze(1))


def test_plain_and_packed_files_may_be_mixed(small_mnist):
    data = load("mnist", small_mnist, split="7/3/5")
    assert [len(part) for part in data.parts().values()] == [7, 3, 5]
    assert data.train.x.shape == (7, 1, 28, 28)
    assert data.validation.y.tolist() == [7, 8, 9]
    assert data.train.x[1, 0, 0, 0] == 784 % 256


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ("7/3", "split: got '7/3'; allowed is 'train/validation/test'"),
        ("0/1/1", "split: got '0/1/1'"),
        ("a/b/c", "split: got 'a/b/c'"),
        ("8/3/5", "split: '8/3/5' asks for 11 of 10 published mnist images"),
        ("7/3/6", "split: '7/3/6' asks for 6 of 5 published mnist images"),
    ],
)
def test_bad_splits_are_named(small_mnist, split, words):
    with pytest.raises(ValueError, match=words):
        load("mnist", small_mnist, split=split)


def test_images_without_their_labels_are_refused(small_mnist):
    raw = small_mnist / "MNIST" / "raw"
    (raw / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.zeros(9, np.uint8))))
    with pytest.raises(ValueError, match=r"the train files hold images \(10, 28, 28\) and labels \(9,\)"):
        load("mnist", small_mnist, split="7/3/5")


def test_validation_and_test_may_be_left_out(small_mnist):
    data = load("mnist", small_mnist, split="10/0/0")
    assert data.validation is None and data.test is None


def test_real_mnist_is_read_from_its_packed_files(shared_data):
    data = load("mnist", shared_data)
    assert [len(part) for part in data.parts().values()] == [50_000, 10_000, 10_000]
    assert data.event_shape == (1, 28, 28)
    assert data.train.x.dtype == torch.uint8
    assert data.train.y[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    pixels = torch.cat([data.train.x, data.validation.x])
    assert pixels.double().mean() / 255 == pytest.approx(0.13066, abs=5e-6)
    assert pixels.double().std() / 255 == pytest.approx(0.30811, abs=5e-6)
    paper = load("mnist", shared_data, split="45000/5000/10000")
    assert torch.equal(paper.validation.x, data.train.x[45_000:])


def test_a_truncated_real_file_is_named(shared_data, tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    shutil.copytree(shared_data / "MNIST" / "raw", raw, copy_function=shutil.copyfile)
    path = raw / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(ValueError, match=f"{path}: cannot be read .*; fetch the file again"):
        load("mnist", tmp_path)
