"""The other published data sets: real files where they are at hand, else small imitations of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.io import savemat

from pyro_mixvae.data import load


def test_frey_faces(shared_data):
    data = load("freyfaces", shared_data)
    assert [len(part) for part in data.parts().values()] == [1565, 200, 200]
    assert data.event_shape == (1, 28, 20)
    assert data.num_classes is None and data.train.y is None
    pixels = torch.cat([part.x for part in data.parts().values()])
    assert (pixels.min(), pixels.max()) == (8, 238)
    frames = pixels.float()
    neighbours = (frames[1:] - frames[:-1]).abs().mean()
    strangers = (frames[1:] - frames[:-1].flip(0)).abs().mean()
    assert neighbours < strangers / 2  # a video, in order
    sheared = frames.reshape(-1, 1, 20, 28)
    assert frames.diff(dim=2).abs().mean() < sheared.diff(dim=2).abs().mean() / 2


def test_unsplit_caltech_silhouettes(shared_data):
    data = load("caltech101-silhouettes", shared_data)
    assert [len(part) for part in data.parts().values()] == [4100, 2264, 2307]
    assert "not the published one" in data.source
    pixels = torch.cat([part.values() for part in data.parts().values()])
    assert pixels.unique().tolist() == [0.0, 1.0]
    assert float(pixels.double().mean()) == pytest.approx(1 - 0.544, abs=5e-4)
    assert len(data.train.y.unique()) > 90
    assert torch.equal(data.test.x, load("caltech101-silhouettes", shared_data, seed=9).test.x)


def test_the_published_split_of_caltech_silhouettes_goes_first(tmp_path):
    folder = tmp_path / "caltech101_silhouettes"
    folder.mkdir()
    picture = np.ones((28, 28), np.uint8)
    picture[3, 7] = 0
    content = {}
    for part, number in (("train", 3), ("val", 2), ("test", 1)):
        content[f"{part}_data"] = np.stack([picture.flatten(order="F")] * number)
        content[f"{part}_labels"] = np.arange(1, number + 1, dtype=np.uint8).reshape(-1, 1)
    savemat(folder / "caltech101_silhouettes_28_split1.mat", content)
    savemat(folder / "caltech101_silhouettes_28.mat", {"X": np.zeros(1)})
    data = load("caltech101-silhouettes", tmp_path)
    assert [len(part) for part in data.parts().values()] == [3, 2, 1]
    assert "the published split" in data.source
    assert data.train.x[0, 0].nonzero().tolist() == [[3, 7]]
    assert data.train.y.tolist() == [0, 1, 2]


def test_omniglot_from_its_mat_file(tmp_path):
    picture = np.zeros((28, 28))
    picture[3, 7] = 0.5
    content = {}
    for prefix, number in (("", 1300), ("test", 4)):
        content[f"{prefix}data"] = np.stack([picture.flatten(order="F")] * number, axis=1)
        content[f"{prefix}target"] = np.eye(50)[:, np.arange(number) % 50]
    savemat(tmp_path / "chardata.mat", content)
    data = load("omniglot", tmp_path)
    assert [len(part) for part in data.parts().values()] == [83, 1217, 4]
    assert data.test.x[0, 0].nonzero().tolist() == [[3, 7]]
    assert data.test.y.tolist() == [0, 1, 2, 3]
    assert data.num_classes == 50
    savemat(tmp_path / "chardata.mat", {**content, "data": np.zeros((10, 3))})
    with pytest.raises(ValueError, match=r"chardata.mat: data have shape \(10, 3\)"):
        load("omniglot", tmp_path)


def test_svhn_from_its_mat_files(tmp_path):
    def write(part: str, number: int) -> np.ndarray:
        images = np.random.default_rng(number).integers(0, 256, (32, 32, 3, number), np.uint8)
        labels = (np.arange(number, dtype=np.uint8) % 10 + 1).reshape(-1, 1)
        savemat(tmp_path / f"{part}_32x32.mat", {"X": images, "y": labels})
        return images

    train, extra = write("train", 12), write("extra", 3)
    write("test", 4)
    data = load("svhn", tmp_path)
    assert data.train.x.shape == (12, 3, 32, 32)
    assert torch.equal(data.train.x[5, 2], torch.from_numpy(train[:, :, 2, 5]))
    assert data.train.y.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]
    more = load("svhn", tmp_path, extra=True)
    assert len(more.train) == 15
    assert torch.equal(more.train.x[12, 0], torch.from_numpy(extra[:, :, 0, 0]))


def test_other_files_in_place_of_cifar10_are_refused(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"):
        (folder / name).write_bytes(b"anything")
    with pytest.raises(ValueError, match=f"{folder}: the files are not the published ones"):
        load("cifar10", tmp_path)


def test_cifar10_from_files_in_the_published_form(tmp_path, monkeypatch):
    import pickle

    from torchvision.datasets import CIFAR10

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    pixels = np.arange(4 * 3072, dtype=np.uint8).reshape(4, 3072)
    for name, _ in CIFAR10.train_list + CIFAR10.test_list:
        (folder / name).write_bytes(pickle.dumps({"data": pixels, "labels": [3, 8, 8, 0]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["a"]}))
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    data = load("cifar10", tmp_path, split="15/5/4")
    assert [len(part) for part in data.parts().values()] == [15, 5, 4]
    assert torch.equal(data.train.x[1], torch.from_numpy(pixels[1].reshape(3, 32, 32)))
    assert data.test.y.tolist() == [3, 8, 8, 0]
    assert data.class_names[3] == "cat"
