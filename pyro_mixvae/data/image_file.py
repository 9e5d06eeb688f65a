"""One image file as pixels of 8 bits, with a stated conversion of everything that is stored otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from PIL.Image import Image

_PLAIN = ("1", "L", "P", "RGB", "CMYK", "YCbCr", "LAB", "HSV")
_TRANSPARENT = ("LA", "PA", "RGBA", "RGBa", "La")
_WHITE = (255, 255, 255, 255)
_SIXTEEN_BITS = 65_535


def read_image(source: Path | IO[bytes], name: str | Path, channels: int = 3) -> Image:
    """Read one image file.

    Conversions: grey values of 16 bits are divided by 257; CMYK, palettes, YCbCr, Lab and black-and-white become RGB
    (or grey) as Pillow does it; what is transparent is laid on white; of several frames the first one is taken.

    Args:
        source: the file.
        name: what messages call it.
        channels: 3 for colour, 1 for grey.

    Returns:
        An image in Pillow's mode ``RGB`` or ``L``.

    Raises:
        ValueError: for a file that is no image, is damaged, or stores values that have no stated range (floating
            point, integers beyond 16 bits).
    """
    from PIL import Image

    wanted = "L" if channels == 1 else "RGB"
    try:
        with Image.open(source) as opened:
            opened.load()
            kind = opened.mode
            if kind in _TRANSPARENT or (kind in _PLAIN and opened.has_transparency_data):
                page = Image.new("RGBA", opened.size, _WHITE)
                return Image.alpha_composite(page, opened.convert("RGBA")).convert(wanted)
            if kind in _PLAIN:
                return opened.convert(wanted)
            values = np.asarray(opened)
    except Exception as error:  # decoders raise whatever the bytes happen to provoke
        raise ValueError(f"{name}: not a readable image ({str(error) or type(error).__name__})") from None
    if values.dtype.kind not in "ui" or values.min() < 0 or values.max() > _SIXTEEN_BITS:
        raise ValueError(f"{name}: stores values of kind {kind}; allowed are 8 bits, and 16 bits of grey")
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8)).convert(wanted)


def middle_square(image: Image, size: int, side: int | None = None) -> Image:
    """Cut a square from the middle of an image, and scale it (bicubic).

    Args:
        image: what is cut.
        size: pixels of a side afterwards.
        side: pixels of a side before; by default, and at most, the image's shorter side.
    """
    from PIL.Image import Resampling

    side = min(image.size) if side is None else min(side, *image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.resize((size, size), Resampling.BICUBIC, box=(left, top, left + side, top + side))


def pixels_of(image: Image) -> Tensor:
    """The pixels of an image in mode ``L`` or ``RGB``: ``uint8``, [1 or 3, H, W]."""
    values = np.array(image, np.uint8)
    return torch.from_numpy(values.reshape(image.height, image.width, -1)).permute(2, 0, 1)
