"""Caltech 101 Silhouettes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .dataset import DataSet, Split
from .files import check_range, column_major_images, data_folder, find, read_mat
from .splits import blocks, fixed_order

_PUBLISHED = "https://people.cs.umass.edu/~marlin/data.shtml"
_FOLDERS = ("", "caltech101_silhouettes/")
_SPLIT_FILE = "caltech101_silhouettes_28_split1.mat"
_WHOLE_FILE = "caltech101_silhouettes_28.mat"
_COUNTS = (4_100, 2_264, 2_307)
_NUM_CLASSES = 101


def load_caltech101_silhouettes(data_dir: str | Path | None = None) -> DataSet:
    """Caltech 101 Silhouettes: the outlines of the objects of 101 classes, filled in, 28x28 pixels.

    Args:
        data_dir: the folder that holds ``caltech101_silhouettes_28_split1.mat`` (the published split) or else
            ``caltech101_silhouettes_28.mat`` (all 8,671 images, which are then split 4,100 / 2,264 / 2,307
            by a fixed permutation of ours: results are not comparable with published ones), itself or in
            ``caltech101_silhouettes``.

    Returns:
        Images ``(1, 28, 28)``, ``uint8``, 255 (that is 1) on the object and 0 around it; 101 classes. The
        data set's ``source`` says which split it is.

    Raises:
        MissingDataError: if neither file is there.
        ValueError: if the file is damaged.

    Source:
        Marlin, Swersky, Chen, de Freitas (2010).
    """
    root = data_folder(data_dir)
    places = [folder + file for file in (_SPLIT_FILE, _WHOLE_FILE) for folder in _FOLDERS]
    path = find(root, places, "caltech101-silhouettes", _PUBLISHED)
    parts, words = _published(path) if path.name == _SPLIT_FILE else _ours(path)
    train, validation, test = parts
    assert train is not None
    return DataSet(
        name="caltech101-silhouettes",
        train=train,
        validation=validation,
        test=test,
        num_classes=_NUM_CLASSES,
        class_names=tuple(f"class {number}" for number in range(1, _NUM_CLASSES + 1)),
        source=f"Caltech 101 Silhouettes 28x28 ({path.name}), {words}",
    )


def _published(path: Path) -> tuple[tuple[Split | None, ...], str]:
    names = ("train", "val", "test")
    content = read_mat(path, [f"{name}_{kind}" for name in names for kind in ("data", "labels")])
    parts = (Split(*_images(path, content[f"{name}_data"], content[f"{name}_labels"])) for name in names)
    return tuple(parts), "the published split 1"


def _ours(path: Path) -> tuple[tuple[Split | None, ...], str]:
    content = read_mat(path, ("X", "Y"))
    x, y = _images(path, content["X"], content["Y"])
    if len(x) != sum(_COUNTS):
        raise ValueError(f"{path}: holds {len(x)} images, expected {sum(_COUNTS)}")
    return blocks(
        x, y, _COUNTS, fixed_order(len(x))
    ), "split 4100/2264/2307 by a fixed permutation (not the published one)"


def _images(path: Path, pixels: NDArray[Any], labels: NDArray[Any]) -> tuple[Tensor, Tensor]:
    if pixels.ndim != 2 or pixels.shape[1] != 784 or labels.size != len(pixels):
        raise ValueError(f"{path}: data have shape {pixels.shape} and labels {labels.shape}, expected (N, 784), N")
    check_range(labels, 1, _NUM_CLASSES, path, "labels")
    objects = column_major_images((pixels == 0).astype(np.uint8) * np.uint8(255), 28, 28)
    return objects, torch.from_numpy(labels.reshape(-1).astype(np.int64) - 1)
