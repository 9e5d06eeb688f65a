"""MNIST and Fashion-MNIST, read from their published idx files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .dataset import DataSet, Split
from .files import MissingDataError, check_range, data_folder, find, read_idx
from .splits import parse_split, train_and_validation

_PUBLISHED = {
    "MNIST": "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "FashionMNIST": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
}
_GARMENTS = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip


def load_mnist(data_dir: str | Path | None = None, download: bool = False, split: str = "50000/10000/10000") -> DataSet:
    """MNIST: 70,000 handwritten digits of 28x28 pixels.

    Args:
        data_dir: the folder that holds ``MNIST/raw`` with the four idx files, plain or as published
            (``.gz``); nothing is written there unless ``download``.
        download: fetch the files with torchvision where they are missing.
        split: training, validation and test counts. The first images of the 60,000 published for training
            are trained on, those that follow are for validation; the test images are the first of the
            10,000 published for testing. ``"45000/5000/10000"`` is the CSRAE paper's.

    Returns:
        Images ``(1, 28, 28)``, ``uint8`` (255 is ink); ten classes.

    Raises:
        MissingDataError: if files are missing.
        ValueError: if a file is damaged, or the split asks for more than there is.

    Source:
        LeCun, Bottou, Bengio, Haffner (1998).
    """
    return _load("MNIST", "mnist", tuple("0123456789"), data_dir, download, split)


def load_fashion_mnist(
    data_dir: str | Path | None = None, download: bool = False, split: str = "50000/10000/10000"
) -> DataSet:
    """Fashion-MNIST: 70,000 garments of 28x28 pixels; in all else like :func:`load_mnist`.

    The files lie in ``FashionMNIST/raw``.

    Source:
        Xiao, Rasul, Vollgraf (2017).
    """
    return _load("FashionMNIST", "fashion-mnist", _GARMENTS, data_dir, download, split)


def _load(
    folder_name: str,
    name: str,
    class_names: tuple[str, ...],
    data_dir: str | Path | None,
    download: bool,
    split: str,
) -> DataSet:
    num_train, num_validation, num_test = parse_split(split)
    root = data_folder(data_dir)

    def part(prefix: str) -> tuple[Tensor, Tensor]:
        return _read_part(root / folder_name / "raw", prefix, name, _PUBLISHED[folder_name])

    try:
        published, held_out = part("train"), part("t10k")
    except MissingDataError:
        if not download:
            raise
        _download(folder_name, root)
        published, held_out = part("train"), part("t10k")
    for number, there in ((num_train + num_validation, published), (num_test, held_out)):
        if number > len(there[0]):
            raise ValueError(f"split: {split!r} asks for {number} of {len(there[0])} published {name} images")
    train, validation = train_and_validation(*published, num_train, num_validation)
    return DataSet(
        name=name,
        train=train,
        validation=validation,
        test=Split(held_out[0][:num_test], held_out[1][:num_test]) if num_test else None,
        num_classes=10,
        class_names=class_names,
        source=f"{name}, the published files; split {split}: the first of the training images, those that "
        "follow for validation, the first of the test images",
    )


def _read_part(folder: Path, prefix: str, name: str, published: str) -> tuple[Tensor, Tensor]:
    arrays = []
    for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"):
        file = f"{prefix}-{kind}"
        arrays.append(read_idx(find(folder, (file, f"{file}.gz"), name, published)))
    images, labels = arrays
    if images.shape[1:] != (28, 28) or labels.shape != images.shape[:1]:
        raise ValueError(
            f"{folder}: the {prefix} files hold images {tuple(images.shape)} and labels "
            f"{tuple(labels.shape)}, expected (N, 28, 28) and (N,)"
        )
    check_range(labels, 0, 9, folder, f"{prefix} labels")
    return images.unsqueeze(1), labels.to(torch.int64)


def _download(folder_name: str, root: Path) -> None:
    import torchvision

    dataset: Any = getattr(torchvision.datasets, folder_name)
    try:
        dataset(root, download=True)
    except (OSError, RuntimeError) as error:
        raise MissingDataError(f"data_dir: could not download {folder_name} into {root}: {error}") from None
