"""Any folder of images."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from .annotations import Annotations, matched, parts_of_fold, read_annotations, subject_folds
from .dataset import DataSet, Split
from .files import MissingDataError
from .image_file import middle_square, pixels_of, read_image
from .splits import blocks, parse_split

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
_TEST_EVERY = 5


def load_folder(
    path: str | Path,
    image_size: int | None = None,
    channels: int = 3,
    split: str | None = None,
    crop: int | None = None,
    annotations: str | None = None,
    threshold: int = 1,
    fold: int = 0,
    folds: int = 3,
) -> DataSet:
    """The images in a folder and the folders below it, read into memory.

    Images in folders directly below are labelled by their folder; images in ``path`` itself have no label,
    and if there are no others, there are no classes. With ``annotations`` the labels are the yes-or-no columns of a
    table instead, see :func:`~.annotations.read_annotations`, and the parts are those of a subject-independent fold:
    its subjects are tested on, and of the others' images every tenth is for validation.

    Args:
        path: the folder; images are taken in the order of their paths.
        image_size: cut the middle square of each image and scale it to so many pixels (bicubic); without it
            all images must have one size.
        channels: 3 for colour, 1 for grey; for what is stored otherwise see :func:`~.image_file.read_image`.
        split: training, validation and test counts, consecutive in the order of the paths; by default every
            fifth image is for testing.
        crop: cut this many pixels square from the middle of each image, before it is scaled.
        annotations: a CSV file in the folder with the columns ``image``, ``subject`` and one for each label.
        threshold: the smallest intensity that counts as a yes.
        fold: which fold is tested on, from 0.
        folds: how many there are.

    Returns:
        Images ``(channels, H, W)``, ``uint8``.

    Raises:
        MissingDataError: if there is no such folder, or no image in it.
        ValueError: if an image cannot be read or differs in size, if the split asks for more than there is, or for a
            table that does not match the images, holds labels outside their range or none at all.
    """
    if channels not in (1, 3):
        raise ValueError(f"channels: got {channels}; allowed are 1 and 3")
    for name, size in {"image_size": image_size, "crop": crop}.items():
        if size is not None and size < 1:
            raise ValueError(f"{name}: got {size}; allowed are integers from 1")
    folder = Path(path).expanduser()
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in _SUFFIXES and file.is_file())
    if not files:
        raise MissingDataError(f"folder: looked for images ({', '.join(_SUFFIXES)}) in {folder.absolute()}; none there")
    table = None
    if annotations is not None:
        # before the images are read, which may take long
        if split is not None:
            raise ValueError(f"split: got {split!r} with annotations, which are split by subject; use fold and folds")
        table = read_annotations(folder / annotations, threshold)
        rows = matched(table, [file.relative_to(folder).as_posix() for file in files], folder)
        fold_of = subject_folds(table.subjects, folds)[rows]
        parts_of_fold(fold_of, fold, folds)
    x = torch.empty(len(files), *_read(files[0], image_size, channels, crop).shape, dtype=torch.uint8)
    for row, file in zip(x, files, strict=True):
        image = _read(file, image_size, channels, crop)
        if image.shape != row.shape:
            raise ValueError(
                f"{file}: its size is {tuple(image.shape[1:])}, but {tuple(row.shape[1:])} in {files[0]}; "
                "image_size brings all to one"
            )
        row.copy_(image)
    if table is not None:
        return _annotated(x, table, rows, fold_of, fold, folds, f"folder:{path}", folder)
    owners = [file.relative_to(folder).parts[0] if file.parent != folder else None for file in files]
    names = sorted({owner for owner in owners if owner is not None})
    y = torch.tensor([-1 if owner is None else names.index(owner) for owner in owners]) if names else None
    train, validation, test = _parts(x, y, split)
    assert train is not None
    return DataSet(
        name=f"folder:{path}",
        train=train,
        validation=validation,
        test=test,
        num_classes=len(names) or None,
        class_names=tuple(names),
        source=f"{folder.absolute()}, split {split or 'by default: every fifth image for testing'}",
    )


def _annotated(
    x: Tensor, table: Annotations, rows: Tensor, fold_of: Tensor, fold: int, folds: int, name: str, folder: Path
) -> DataSet:
    """The data set of a fold; one label alone is a class, as in CelebA."""
    y = table.labels[rows]
    parts = parts_of_fold(fold_of, fold, folds)
    counts = tuple(len(part) for part in parts)
    train, validation, test = blocks(x, y.squeeze(-1) if y.shape[1] == 1 else y, counts, torch.cat(parts))
    assert train is not None
    return DataSet(
        name=name,
        train=train,
        validation=validation,
        test=test,
        num_classes=2,
        class_names=("absent", "present"),
        source=f"{folder.absolute()}, labels {', '.join(table.names)}; subjects of fold {fold} of {folds} for testing",
        label_names=table.names if y.shape[1] > 1 else (),
    )


def _read(file: Path, image_size: int | None, channels: int, crop: int | None) -> Tensor:
    image = read_image(file, file, channels)
    if image_size is None and crop is None:
        return pixels_of(image)
    if crop is not None and crop > min(image.size):
        raise ValueError(f"crop: got {crop}, but {file} is {image.width} x {image.height}")
    return pixels_of(middle_square(image, image_size or crop or 0, crop))


def _parts(x: Tensor, y: Tensor | None, split: str | None) -> tuple[Split | None, ...]:
    if split is not None:
        return blocks(x, y, parse_split(split, len(x)))
    testing = torch.arange(len(x)) % _TEST_EVERY == _TEST_EVERY - 1
    order = torch.cat([(~testing).nonzero(), testing.nonzero()]).squeeze(-1)
    return blocks(x, y, (int((~testing).sum()), 0, int(testing.sum())), order)
