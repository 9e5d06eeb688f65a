"""CelebA's published files, in a small folder of our own making."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pyro_mixvae.data import DataSet, MissingDataError, Split, load
from pyro_mixvae.data.few_labels import few_labels

NAMES = [f"{number:06d}.jpg" for number in range(1, 8)]
PARTS = [0, 0, 0, 0, 1, 2, 2]
MALE, GLASSES, SMILING = [1, 0, 0, 1, 1, 0, 1], [0, 1, 0, 0, 1, 0, 0], [1, 1, 0, 1, 0, 0, 1]


def write(folder: Path, archive: bool = False) -> Path:
    """Seven faces, each of one colour; the attributes stand among others, as in the published file."""
    folder.mkdir(parents=True)
    images = folder / "img_align_celeba"
    images.mkdir()
    for number, name in enumerate(NAMES):
        pixels = np.full((218, 178, 3), 30 * number, np.uint8)
        pixels[:30] = 255  # cut away by the crop of 148
        Image.fromarray(pixels).save(images / name, quality=100)
    columns = np.array([SMILING, GLASSES, [0] * 7, MALE]) * 2 - 1
    pairs = zip(NAMES, columns.T, strict=True)
    rows = [f"{name} {' '.join(f'{value:2d}' for value in values)}" for name, values in pairs]
    (folder / "list_attr_celeba.txt").write_text("\n".join(["7", "Smiling Eyeglasses Bald Male", *rows]) + "\n")
    (folder / "list_eval_partition.txt").write_text("".join(f"{n} {p}\n" for n, p in zip(NAMES, PARTS, strict=True)))
    if archive:
        with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as file:
            for name in NAMES:
                file.write(images / name, f"img_align_celeba/{name}")
                (images / name).unlink()
        images.rmdir()
    return folder


@pytest.mark.parametrize("archive", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("below", [".", "celeba"])
def test_images_labels_and_parts(tmp_path, archive, below):
    write(tmp_path / "data" / below / "", archive) if below == "celeba" else write(tmp_path / "data", archive)
    data = load("celeba", tmp_path / "data", image_size=16)
    assert [len(part) for part in data.parts().values()] == [4, 1, 2]
    assert data.event_shape == (3, 16, 16)
    expected = torch.tensor([MALE, GLASSES, SMILING]).T
    assert torch.equal(torch.cat([part.y for part in data.parts().values()]), expected)
    colours = torch.cat([part.x.float().mean((1, 2, 3)) for part in data.parts().values()])
    torch.testing.assert_close(colours, 30.0 * torch.arange(7), rtol=0, atol=2)


def test_one_attribute_few_images_and_few_labels(tmp_path):
    folder = write(tmp_path / "data")
    data = load(
        "celeba", folder, image_size=8, attributes=["Smiling"], max_images=3, labelled=0.34, value_range=[-1, 1]
    )
    assert data.train.y.shape == (3,)
    assert int((data.train.y >= 0).sum()) == 1
    assert torch.equal(data.test.y, torch.tensor([0, 1]))
    assert data.train.values().min() >= -1


def test_several_labels_are_hidden_together(tmp_path):
    data = load("celeba", write(tmp_path / "data"), image_size=8, labelled=0.5)
    hidden = (data.train.y == -1).sum(-1)
    assert sorted(hidden.tolist()) == [0, 0, 3, 3]


@pytest.mark.parametrize("missing", ["img_align_celeba", "list_attr_celeba.txt", "list_eval_partition.txt"])
def test_missing_files_are_named(tmp_path, missing):
    folder = write(tmp_path / "data", archive=missing == "img_align_celeba")
    (folder / (missing if missing.endswith("txt") else f"{missing}.zip")).unlink()
    with pytest.raises(MissingDataError, match=rf"{missing}.*published at https"):
        load("celeba", folder)


def test_a_missing_image_is_named(tmp_path):
    folder = write(tmp_path / "data")
    (folder / "img_align_celeba" / NAMES[2]).unlink()
    with pytest.raises(MissingDataError, match=NAMES[2]):
        load("celeba", folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attributes": ["Beard"]}, "no Beard; allowed are Smiling, Eyeglasses, Bald, Male"),
        ({"attributes": []}, "attributes: got none"),
        ({"image_size": 0}, "image_size: got 0"),
        ({"labelled": 1.5}, "labelled: got 1.5"),
    ],
)
def test_bad_options(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        load("celeba", write(tmp_path / "data"), **options)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("list_attr_celeba.txt", "no count\n", "not the published list"),
        ("list_attr_celeba.txt", "1\nSmiling Male Eyeglasses\n000001.jpg 1 0 1\n", "line of 000001.jpg"),
        ("list_attr_celeba.txt", "1\nSmiling Male Eyeglasses\n000001.jpg 1 1 1\n", "lacks 000002.jpg and 2 more"),
        ("list_eval_partition.txt", "000001.jpg 3\n", "expected 'image 0|1|2'"),
        ("list_eval_partition.txt", "000001.jpg 2\n", "no images for training"),
        ("img_align_celeba/000001.jpg", "no image", "not a readable image"),
    ],
)
def test_damaged_files(tmp_path, file, content, message):
    folder = write(tmp_path / "data")
    (folder / file).write_text(content)
    with pytest.raises(ValueError, match=message):
        load("celeba", folder)


def test_labels_of_data_without_them_cannot_be_hidden():
    with pytest.raises(ValueError, match="no labels to hide"):
        few_labels(DataSet("data", Split(torch.zeros(2, 1)), None, None, None, (), "made here"), 0.5)
