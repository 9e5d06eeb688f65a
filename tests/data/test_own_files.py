"""A user's own arrays and images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from pyro_mixvae.data import Batches, MissingDataError, load


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
def test_an_array_is_mapped_and_batched(tmp_path, dtype):
    array = np.arange(40).reshape(10, 4).astype(dtype)
    np.save(tmp_path / "x.npy", array)
    np.save(tmp_path / "y.npy", np.arange(10) % 3 - 1)
    data = load(f"npy:{tmp_path}/x.npy", labels=tmp_path / "y.npy", split="6/2/2")
    assert [len(part) for part in data.parts().values()] == [6, 2, 2]
    assert data.num_classes == 2
    (x, _), *_ = Batches(data.train, 6, shuffle=False)
    expected = torch.from_numpy(array[:6]).float() / (255 if dtype == np.uint8 else 1)
    assert torch.equal(x, expected)


def test_the_file_is_never_changed(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.ones((3, 2), np.float32))
    data = load(f"npy:{path}")
    data.train.x.zero_()
    assert np.load(path).sum() == 6
    assert data.test is None


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((3, 2), np.int64), "dtype is int64; allowed are uint8 and floating point"),
        (np.zeros(3, np.float32), r"shape is \(3,\); allowed is \[N, \*event_shape\]"),
        (np.full((3, 2), np.nan), "6 of 6 values not finite"),
    ],
)
def test_other_arrays_are_refused(tmp_path, array, words):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(ValueError, match=words):
        load(f"npy:{tmp_path}/x.npy")


def test_damaged_and_missing_arrays_are_named(tmp_path):
    path = tmp_path / "x.npy"
    with pytest.raises(MissingDataError, match=f"npy: looked for {path}"):
        load(f"npy:{path}")
    np.save(path, np.zeros((30, 20)))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=f"{path}: not a readable .npy file"):
        load(f"npy:{path}")
    for content in (b"", b"a,b\n1,2\n"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{path}: not a readable .npy file .*numpy.save makes one"):
            load(f"npy:{path}")
    np.save(path, np.zeros((30, 20)))
    np.save(tmp_path / "y.npy", np.zeros(3, np.int64))
    with pytest.raises(ValueError, match=r"labels: .* holds shape \(3,\) of int64, expected 30 integers"):
        load(f"npy:{path}", labels=tmp_path / "y.npy")
    with pytest.raises(ValueError, match="split: '30/1/0' asks for 31 data, there are 30"):
        load(f"npy:{path}", split="30/1/0")


def write_image(path, value: int, size: tuple[int, int] = (8, 6), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value, 0, 255 - value)).save(path)


def test_images_in_folders_are_labelled_by_folder(tmp_path):
    for number in range(10):
        write_image(tmp_path / ("cats" if number % 2 else "dogs") / f"{number}.png", number * 20)
    data = load(f"folder:{tmp_path}")
    assert data.class_names == ("cats", "dogs")
    assert data.train.x.shape == (8, 3, 6, 8)
    assert data.train.y.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert data.test.y.tolist() == [0, 1]
    assert data.train.x[0, :, 0, 0].tolist() == [20, 0, 235]


def test_loose_images_have_no_labels_and_may_be_scaled(tmp_path):
    for number in range(6):
        write_image(tmp_path / f"{number}.png", number * 40, size=(10 + number, 8), mode="L")
    data = load(f"folder:{tmp_path}", image_size=4, channels=1, split="3/1/2")
    assert data.num_classes is None
    assert [len(part) for part in data.parts().values()] == [3, 1, 2]
    assert data.event_shape == (1, 4, 4)
    assert data.test.x.flatten(1).tolist() == [[160] * 16, [200] * 16]


def test_bad_folders_are_named(tmp_path):
    with pytest.raises(MissingDataError, match="folder: looked for images"):
        load(f"folder:{tmp_path}")
    write_image(tmp_path / "a.png", 0)
    write_image(tmp_path / "b.png", 0, size=(5, 5))
    with pytest.raises(ValueError, match=r"b.png: its size is \(5, 5\), but \(6, 8\) in .*a.png; image_size brings"):
        load(f"folder:{tmp_path}")
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"a.png: not a readable image"):
        load(f"folder:{tmp_path}")
    with pytest.raises(ValueError, match="channels: got 2"):
        load(f"folder:{tmp_path}", channels=2)
    with pytest.raises(ValueError, match="image_size: got 0"):
        load(f"folder:{tmp_path}", image_size=0)
