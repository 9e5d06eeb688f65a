"""CelebA faces with their attributes, from the published files."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from .dataset import DataSet, Split
from .files import MissingDataError, data_folder, find, read_text
from .image_file import middle_square, pixels_of, read_image

_PUBLISHED = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
_IMAGES = "img_align_celeba"
_PARTS = ("train", "validation", "test")


def load_celeba(
    data_dir: str | Path | None = None,
    image_size: int = 64,
    crop: int = 148,
    attributes: Sequence[str] = ("Male", "Eyeglasses", "Smiling"),
    max_images: int | None = None,
) -> DataSet:
    """CelebA: 202,599 aligned faces with 40 attributes, in the published parts for training, validation and test.

    Args:
        data_dir: the folder that holds ``img_align_celeba`` (a folder of jpg files, or that ``.zip``),
            ``list_attr_celeba.txt`` and ``list_eval_partition.txt``, itself or in ``celeba``.
        image_size: images are scaled to so many pixels (bicubic).
        crop: side of the square that is cut from the middle of each image of 178x218 pixels before that.
        attributes: which of the 40 are labels, by their published names.
        max_images: so many images of each part at most, the first ones; ``None`` for all.

    Returns:
        Images ``(3, image_size, image_size)``, ``uint8``; labels ``[N]`` for one attribute, ``[N, L]`` for several,
        1 where the attribute is present and 0 where it is not.

    Raises:
        MissingDataError: if a file is missing.
        ValueError: for an attribute that there is not, sizes below 1, or a damaged file.

    Source:
        Liu, Luo, Wang, Tang (2015); at 64x64 pixels in Paquet, Ghaisas, Tieleman, section 4.2.
    """
    for name, size in {"image_size": image_size, "crop": crop, "max_images": max_images or 1}.items():
        if size < 1:
            raise ValueError(f"{name}: got {size}; allowed are integers from 1")
    if not attributes:
        raise ValueError("attributes: got none; at least one is needed")
    root = data_folder(data_dir)
    known, labels = _read_attributes(_find(root, "list_attr_celeba.txt"))
    if unknown := [name for name in attributes if name not in known]:
        raise ValueError(f"attributes: there is no {', '.join(unknown)}; allowed are {', '.join(known)}")
    columns = [known.index(name) for name in attributes]
    part_of = _read_partition(_find(root, "list_eval_partition.txt"))
    read = _reader(root)
    splits: list[Split | None] = []
    for part in range(len(_PARTS)):
        names = [name for name, number in part_of.items() if number == part][:max_images]
        if missing := [name for name in names if name not in labels]:
            raise ValueError(f"{root}: list_attr_celeba.txt lacks {missing[0]} and {len(missing) - 1} more")
        y = torch.tensor([[labels[name][column] for column in columns] for name in names], dtype=torch.int64)
        x = torch.empty(len(names), 3, image_size, image_size, dtype=torch.uint8)
        for row, name in zip(x, names, strict=True):
            row.copy_(_pixels(read(name), name, image_size, crop))
        splits.append(Split(x, y.squeeze(-1) if len(columns) == 1 else y) if names else None)
    train, validation, test = splits
    if train is None:
        raise ValueError(f"{root}: list_eval_partition.txt has no images for training")
    return DataSet(
        name="celeba",
        train=train,
        validation=validation,
        test=test,
        num_classes=2,
        class_names=("absent", "present"),
        source=f"CelebA, aligned and cropped, its published parts; the middle {crop}x{crop} pixels at "
        f"{image_size}x{image_size}; labels {', '.join(attributes)}",
    )


def _find(root: Path, name: str) -> Path:
    return find(root, (name, f"celeba/{name}"), "celeba", _PUBLISHED)


def _read_attributes(path: Path) -> tuple[list[str], dict[str, list[int]]]:
    """The attributes' names, and for each image 1 or 0: the file holds a count, the names, then 1 or -1."""
    lines = read_text(path).splitlines()
    if len(lines) < 2 or not lines[0].strip().isdecimal():
        raise ValueError(f"{path}: not the published list of attributes; fetch the file again")
    names = lines[1].split()
    labels = {}
    for line in filter(str.strip, lines[2:]):
        name, *values = line.split()
        if len(values) != len(names) or not set(values) <= {"1", "-1"}:
            raise ValueError(f"{path}: the line of {name} has no 1 or -1 for each of {len(names)} attributes")
        labels[name] = [int(value == "1") for value in values]
    return names, labels


def _read_partition(path: Path) -> dict[str, int]:
    parts = {}
    for line in read_text(path).splitlines():
        words = line.split()
        if len(words) != 2 or words[1] not in ("0", "1", "2"):
            raise ValueError(f"{path}: expected 'image 0|1|2' in each line, got {line!r}")
        parts[words[0]] = int(words[1])
    return parts


def _reader(root: Path) -> Callable[[str], bytes]:
    """How an image's bytes are read by its name: from the folder, or from the archive as it is published."""
    for folder in (root / _IMAGES, root / "celeba" / _IMAGES):
        if folder.is_dir():
            return lambda name: _bytes_of(folder / name)
    path = _find(root, f"{_IMAGES}.zip")
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: cannot be read ({error}); fetch the file again") from None

    def read(name: str) -> bytes:
        try:
            return archive.read(f"{_IMAGES}/{name}")
        except KeyError:
            raise MissingDataError(f"celeba: {path} lacks {_IMAGES}/{name}") from None
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError) as error:
            raise ValueError(f"{path}: {_IMAGES}/{name} cannot be read ({error}); fetch the file again") from None

    return read


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise MissingDataError(f"celeba: looked for {path}; published at {_PUBLISHED}") from None


def _pixels(content: bytes, name: str, image_size: int, crop: int) -> Tensor:
    return pixels_of(middle_square(read_image(io.BytesIO(content), name), image_size, crop))
