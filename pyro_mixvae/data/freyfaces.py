"""Frey faces: one face in 1,965 frames of video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from .dataset import DataSet
from .files import check_range, data_folder, find, read_mat
from .splits import blocks, parse_split

_PUBLISHED = "https://cs.nyu.edu/~roweis/data.html"


def load_freyfaces(data_dir: str | Path | None = None, split: str = "1565/200/200") -> DataSet:
    """Frey faces: grey images of 28x20 pixels, without labels.

    Args:
        data_dir: the folder that holds ``frey_rawface.mat``, itself or in ``freyfaces``.
        split: training, validation and test counts: blocks of the video one after the other, since
            neighbouring frames are near-duplicates.

    Returns:
        Images ``(1, 28, 20)``, ``uint8``; no labels.

    Raises:
        MissingDataError: if the file is missing.
        ValueError: if it is damaged, or the split asks for more than there is.

    Source:
        B. Frey, S. Roweis.
    """
    path = find(data_folder(data_dir), ("frey_rawface.mat", "freyfaces/frey_rawface.mat"), "freyfaces", _PUBLISHED)
    frames = read_mat(path, ("ff",))["ff"]
    if frames.ndim != 2 or len(frames) != 560:
        raise ValueError(f"{path}: ff has shape {frames.shape}, expected (560, N)")
    check_range(frames, 0, 255, path, "grey values")
    x = torch.from_numpy(np.ascontiguousarray(frames.T.astype(np.uint8))).reshape(-1, 1, 28, 20)
    train, validation, test = blocks(x, None, parse_split(split, len(x)))
    assert train is not None
    return DataSet(
        name="freyfaces",
        train=train,
        validation=validation,
        test=test,
        num_classes=None,
        class_names=(),
        source=f"Frey faces ({path.name}), split {split}, consecutive frames of the video",
    )
