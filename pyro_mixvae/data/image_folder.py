"""Any folder of images."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from .dataset import DataSet, Split
from .files import MissingDataError
from .image_file import middle_square, pixels_of, read_image
from .splits import blocks, parse_split

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
_TEST_EVERY = 5


def load_folder(
    path: str | Path, image_size: int | None = None, channels: int = 3, split: str | None = None
) -> DataSet:
    """The images in a folder and the folders below it, read into memory.

    Images in folders directly below are labelled by their folder; images in ``path`` itself have no label,
    and if there are no others, there are no classes.

    Args:
        path: the folder; images are taken in the order of their paths.
        image_size: cut the middle square of each image and scale it to so many pixels (bicubic); without it
            all images must have one size.
        channels: 3 for colour, 1 for grey; for what is stored otherwise see :func:`~.image_file.read_image`.
        split: training, validation and test counts, consecutive in the order of the paths; by default every
            fifth image is for testing.

    Returns:
        Images ``(channels, H, W)``, ``uint8``.

    Raises:
        MissingDataError: if there is no such folder, or no image in it.
        ValueError: if an image cannot be read or differs in size, or the split asks for more than there is.
    """
    if channels not in (1, 3):
        raise ValueError(f"channels: got {channels}; allowed are 1 and 3")
    if image_size is not None and image_size < 1:
        raise ValueError(f"image_size: got {image_size}; allowed are integers from 1")
    folder = Path(path).expanduser()
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in _SUFFIXES and file.is_file())
    if not files:
        raise MissingDataError(f"folder: looked for images ({', '.join(_SUFFIXES)}) in {folder.absolute()}; none there")
    x = torch.empty(len(files), *_read(files[0], image_size, channels).shape, dtype=torch.uint8)
    for row, file in zip(x, files, strict=True):
        image = _read(file, image_size, channels)
        if image.shape != row.shape:
            raise ValueError(
                f"{file}: its size is {tuple(image.shape[1:])}, but {tuple(row.shape[1:])} in {files[0]}; "
                "image_size brings all to one"
            )
        row.copy_(image)
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


def _read(file: Path, image_size: int | None, channels: int) -> Tensor:
    image = read_image(file, file, channels)
    return pixels_of(image if image_size is None else middle_square(image, image_size))


def _parts(x: Tensor, y: Tensor | None, split: str | None) -> tuple[Split | None, ...]:
    if split is not None:
        return blocks(x, y, parse_split(split, len(x)))
    testing = torch.arange(len(x)) % _TEST_EVERY == _TEST_EVERY - 1
    order = torch.cat([(~testing).nonzero(), testing.nonzero()]).squeeze(-1)
    return blocks(x, y, (int((~testing).sum()), 0, int(testing.sum())), order)
