"""OMNIGLOT in the 28x28 form that density models are compared on."""

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

_PUBLISHED = "https://github.com/yburda/iwae/tree/master/datasets/OMNIGLOT"
_NUM_VALIDATION = 1_217
_NUM_ALPHABETS = 50


def load_omniglot(data_dir: str | Path | None = None) -> DataSet:
    """OMNIGLOT: handwritten characters of 50 alphabets, 28x28 pixels, from ``chardata.mat``.

    Args:
        data_dir: the folder that holds ``chardata.mat``, itself or in ``omniglot`` or ``OMNIGLOT``.

    Returns:
        Images ``(1, 28, 28)``, ``float32`` grey values in [0, 1]; the class is the alphabet. The published
        24,345 training images are split into 23,128 for training and 1,217 for validation by a fixed
        permutation of ours; the 8,070 test images are the published ones.

    Raises:
        MissingDataError: if the file is missing.
        ValueError: if it is damaged.

    Source:
        Lake, Salakhutdinov, Tenenbaum (2015), as reduced by Burda, Grosse, Salakhutdinov (2016).
    """
    places = ("chardata.mat", "omniglot/chardata.mat", "OMNIGLOT/chardata.mat")
    path = find(data_folder(data_dir), places, "omniglot", _PUBLISHED)
    content = read_mat(path, ("data", "target", "testdata", "testtarget"))
    x, y = _images(path, content["data"], content["target"])
    test_x, test_y = _images(path, content["testdata"], content["testtarget"])
    if len(x) <= _NUM_VALIDATION:
        raise ValueError(f"{path}: holds {len(x)} training images, expected more than {_NUM_VALIDATION}")
    counts = (len(x) - _NUM_VALIDATION, _NUM_VALIDATION)
    train, validation = blocks(x, y, counts, fixed_order(len(x)))
    assert train is not None
    return DataSet(
        name="omniglot",
        train=train,
        validation=validation,
        test=Split(test_x, test_y),
        num_classes=_NUM_ALPHABETS,
        class_names=tuple(f"alphabet {number}" for number in range(_NUM_ALPHABETS)),
        source=f"OMNIGLOT 28x28 ({path.name} of Burda et al.), test set as published; validation by a fixed "
        "permutation",
    )


def _images(path: Path, values: NDArray[Any], classes: NDArray[Any]) -> tuple[Tensor, Tensor]:
    if len(values) != 784 or classes.shape != (_NUM_ALPHABETS, values.shape[1]):
        raise ValueError(
            f"{path}: data have shape {values.shape} and targets {classes.shape}, expected (784, N), (50, N)"
        )
    check_range(values, 0, 1, path, "grey values")
    x = column_major_images(values.T.astype(np.float32), 28, 28)
    return x, torch.from_numpy(classes.argmax(axis=0).astype(np.int64))
