"""CIFAR-10."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .dataset import DataSet, Split
from .files import MissingDataError, data_folder
from .splits import parse_split, train_and_validation

_PUBLISHED = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def load_cifar10(
    data_dir: str | Path | None = None, download: bool = False, split: str = "45000/5000/10000"
) -> DataSet:
    """CIFAR-10: 60,000 colour photographs of 32x32 pixels.

    Args:
        data_dir: the folder that holds ``cifar-10-batches-py``; nothing is written there unless ``download``.
        download: fetch the files with torchvision where they are missing.
        split: training, validation and test counts. The first images of the 50,000 published for training
            are trained on, those that follow are for validation; the test images are the first of the
            10,000 published for testing. The default is the CSRAE paper's.

    Returns:
        Images ``(3, 32, 32)``, ``uint8``; ten classes.

    Raises:
        MissingDataError: if files are missing.
        ValueError: if a file is damaged, or the split asks for more than there is.

    Source:
        Krizhevsky (2009).
    """
    num_train, num_validation, num_test = parse_split(split)
    root = data_folder(data_dir)
    images, labels = _read(root, True, download)
    test_images, test_labels = _read(root, False, download)
    for wanted, there in ((num_train + num_validation, images), (num_test, test_images)):
        if wanted > len(there):
            raise ValueError(f"split: {split!r} asks for {wanted} of {len(there)} published cifar10 images")
    train, validation = train_and_validation(images, labels, num_train, num_validation)
    return DataSet(
        name="cifar10",
        train=train,
        validation=validation,
        test=Split(test_images[:num_test], test_labels[:num_test]) if num_test else None,
        num_classes=10,
        class_names=_CLASSES,
        source=f"CIFAR-10, the published files; split {split}: the first of the training images, those that "
        "follow for validation, the first of the test images",
    )


def _read(root: Path, train: bool, download: bool) -> tuple[Tensor, Tensor]:
    from torchvision.datasets import CIFAR10

    folder = root / CIFAR10.base_folder
    files = [name for name, _ in (CIFAR10.train_list if train else CIFAR10.test_list)]
    missing = [name for name in (*files, "batches.meta") if not (folder / name).is_file()]
    if missing and not download:
        raise MissingDataError(
            f"cifar10: looked for {', '.join(missing)} in {folder.absolute()}; published at {_PUBLISHED}"
        )
    try:
        found = CIFAR10(root, train=train, download=bool(missing))
    except (OSError, RuntimeError) as error:
        if missing:
            raise MissingDataError(f"data_dir: could not download cifar10 into {root}: {error}") from None
        raise ValueError(f"{folder}: the files are not the published ones ({error})") from None
    pixels = torch.from_numpy(np.ascontiguousarray(found.data.transpose(0, 3, 1, 2)))
    return pixels, torch.tensor(found.targets)
