"""Street View House Numbers, the cropped digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .dataset import DataSet, Split
from .files import MissingDataError, check_range, data_folder, find, read_mat

_PUBLISHED = "http://ufldl.stanford.edu/housenumbers"


def load_svhn(data_dir: str | Path | None = None, download: bool = False, extra: bool = False) -> DataSet:
    """SVHN: colour images of house numbers, 32x32 pixels.

    Args:
        data_dir: the folder that holds ``train_32x32.mat``, ``test_32x32.mat`` and, where asked for,
            ``extra_32x32.mat``; nothing is written there unless ``download``.
        download: fetch the files with torchvision where they are missing.
        extra: add the 531,131 simpler images of the extra set to the 73,257 for training, as the GMVAE paper
            does (1.9 GB as ``uint8``).

    Returns:
        Images ``(3, 32, 32)``, ``uint8``; ten classes, the digit 0 with label 0. The 26,032 test images are
        the published ones; there is no validation part.

    Raises:
        MissingDataError: if files are missing.
        ValueError: if a file is damaged.

    Source:
        Netzer et al. (2011).
    """
    root = data_folder(data_dir)
    parts = ("train", "extra") if extra else ("train",)
    for part in (*parts, "test"):
        try:
            find(root, [f"{part}_32x32.mat"], "svhn", _PUBLISHED)
        except MissingDataError:
            if not download:
                raise
            _download(part, root)
    pieces = [_read(root / f"{part}_32x32.mat") for part in parts]
    images, labels = (torch.cat(together) for together in zip(*pieces, strict=True))
    return DataSet(
        name="svhn",
        train=Split(images, labels),
        validation=None,
        test=Split(*_read(root / "test_32x32.mat")),
        num_classes=10,
        class_names=tuple("0123456789"),
        source=f"SVHN, cropped digits, the published files; {' + '.join(parts)} for training",
    )


def _read(path: Path) -> tuple[Tensor, Tensor]:
    content = read_mat(path, ("X", "y"))
    images, labels = content["X"], content["y"].reshape(-1)
    if images.shape[:3] != (32, 32, 3) or images.shape[3:] != labels.shape:
        raise ValueError(f"{path}: X has shape {images.shape} and y {labels.shape}, expected (32, 32, 3, N), (N,)")
    check_range(labels, 1, 10, path, "labels")  # the digit 0 is 10
    check_range(images, 0, 255, path, "values")
    pixels = torch.from_numpy(images.transpose(3, 2, 0, 1).astype(np.uint8))
    return pixels, torch.from_numpy(labels.astype("int64")) % 10


def _download(part: str, root: Path) -> None:
    from torchvision.datasets import SVHN

    try:
        SVHN(str(root), split=part, download=True)
    except (OSError, RuntimeError) as error:
        raise MissingDataError(f"data_dir: could not download svhn, {part}, into {root}: {error}") from None
