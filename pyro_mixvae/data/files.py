"""Finding and reading the files of published data sets, with errors that say what to do."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_IDX_UINT8 = 0x08


class MissingDataError(FileNotFoundError, ValueError):
    """Files of a data set are not there: a ``ValueError`` like all bad input, and a ``FileNotFoundError``."""


def data_folder(data_dir: str | Path | None) -> Path:
    """The folder that data sets lie in: ``data_dir``, else ``$PYRO_MIXVAE_DATA``, else ``./data``."""
    return Path(data_dir if data_dir is not None else os.environ.get("PYRO_MIXVAE_DATA", "data")).expanduser()


def find(folder: Path, candidates: Iterable[str], name: str, published: str) -> Path:
    """The first of several possible files that is there.

    Args:
        folder: where to look.
        candidates: paths relative to ``folder``, the preferred one first.
        name: of the data set, for the message.
        published: where the files can be had, for the message.

    Raises:
        MissingDataError: if there is none; says which files were looked for, where, and where they are
            published.
        ValueError: if the folder cannot be read.
    """
    names = list(candidates)
    try:
        for candidate in names:
            if (folder / candidate).is_file():
                return folder / candidate
    except PermissionError as error:
        raise ValueError(f"data_dir: cannot read {folder}: {error.strerror}") from None
    looked_for = " or ".join(names)
    where = folder.absolute() if folder.is_dir() else f"{folder.absolute()}, which is not a folder"
    raise MissingDataError(
        f"{name}: looked for {looked_for} in {where}; say where it is by data_dir (--data-dir or $PYRO_MIXVAE_DATA); "
        f"published at {published}"
    )


def read_idx(path: Path) -> Tensor:
    """Read an array of bytes in the idx format of MNIST, plain or (``.gz``) compressed.

    The format: two zero bytes, the type (8 for ``uint8``), the number of dimensions, each size as a
    big-endian 32-bit integer, then the values in row-major order (http://yann.lecun.com/exdb/mnist).

    Returns:
        A ``uint8`` tensor of the shape that the file states.

    Raises:
        ValueError: if the file cannot be read, is truncated, or is no idx file of bytes.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: cannot be read ({error}); fetch the file again") from None
    magic = content[:4]
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] != _IDX_UINT8:
        raise ValueError(f"{path}: no idx file of bytes (begins with {magic.hex(' ')}, expected 00 00 08)")
    start = 4 + 4 * magic[3]
    shape = tuple(int(size) for size in np.frombuffer(content[4:start], ">u4"))
    expected = start + math.prod(shape)
    if len(shape) != magic[3] or len(content) != expected:
        raise ValueError(f"{path}: holds {len(content)} bytes, but its header {shape} asks for {expected}")
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy())


def read_mat(path: Path, keys: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Read arrays from a MATLAB 5 file, by scipy, whose reader can crash on a file that was made to do so.

    Args:
        path: the file.
        keys: names of the arrays wanted.

    Returns:
        The arrays by name.

    Raises:
        ValueError: if the file cannot be read, lacks one of the arrays, or holds something else than finite numbers
            under its name.
    """
    from scipy.io import loadmat

    try:
        content = loadmat(path)
    except Exception as error:  # scipy raises whatever the bytes happen to provoke: a dozen types
        raise ValueError(f"{path}: not a readable MATLAB 5 file ({error}); fetch the file again") from None
    missing = [key for key in keys if key not in content]
    if missing:
        there = ", ".join(key for key in content if not key.startswith("__")) or "nothing"
        raise ValueError(f"{path}: lacks {', '.join(missing)}; it holds {there}")
    for key in keys:
        found = content[key]
        if not isinstance(found, np.ndarray) or found.dtype.kind not in "biuf" or not np.isfinite(found).all():
            kind = f"an array of {found.dtype}" if isinstance(found, np.ndarray) else f"a {type(found).__name__}"
            raise ValueError(f"{path}: {key} is {kind}; expected an array of finite numbers")
    return {key: content[key] for key in keys}


def check_range(values: NDArray[Any] | Tensor, low: float, high: float, path: str | Path, what: str) -> None:
    """Refuse a file with values outside a range, before a narrower type hides them.

    Args:
        values: of any shape, real numbers.
        low: the smallest that is allowed.
        high: the largest that is allowed.
        path: the file, for the message.
        what: what it holds, for the message.

    Raises:
        ValueError: names the file, and the first value that is outside.
    """
    array = np.asarray(values)
    wrong = ~((array >= low) & (array <= high))
    if wrong.any():
        first = tuple(int(place) for place in np.argwhere(wrong)[0])
        raise ValueError(
            f"{path}: {wrong.sum()} of {array.size} {what} outside {low:g}..{high:g}, the first at index {first}: "
            f"{array[first]}"
        )


def read_text(path: Path) -> str:
    """The text of a file in UTF-8.

    Raises:
        ValueError: if it cannot be read or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read ({error}); fetch the file again") from None


def column_major_images(flat: NDArray[Any], height: int, width: int) -> Tensor:
    """Upright images from rows that MATLAB flattened column by column.

    Args:
        flat: values, ``[N, height * width]``.
        height: rows of an image.
        width: columns of an image.

    Returns:
        A tensor ``[N, 1, height, width]`` of the same type.
    """
    images = flat.reshape(-1, 1, width, height).swapaxes(2, 3)
    return torch.from_numpy(np.ascontiguousarray(images))
