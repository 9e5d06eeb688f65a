"""Image files as they come: kinds of pixels, odd names, and damage of every sort."""

from __future__ import annotations

import io
import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pyro_mixvae.data import load
from pyro_mixvae.data.image_file import pixels_of, read_image


def stored(image: Image.Image, kind: str, **options) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, kind, **options)
    file.seek(0)
    return file


def pixels(image: Image.Image, kind: str = "PNG", channels: int = 3, **options) -> torch.Tensor:
    return pixels_of(read_image(stored(image, kind, **options), "x", channels))


# --- stated conversions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_of_grey_become_eight(kind):
    """0..65535 as 0..255, evenly: v/257 rounded. (Pillow's own conversion cuts off what is above 255.)"""
    values = np.array([[0, 128, 129, 257, 32_768, 65_535]], np.uint16)
    found = pixels(Image.fromarray(values), kind, channels=1)
    assert found.flatten().tolist() == [0, 0, 1, 1, 128, 255]
    assert found.dtype == torch.uint8


def test_cmyk():
    image = Image.fromarray(np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 0, 0, 255]]], np.uint8), "CMYK")
    assert pixels(image, "TIFF").permute(1, 2, 0).tolist() == [[[255, 255, 255], [0, 255, 255], [0, 0, 0]]]


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_what_is_transparent_is_laid_on_white(kind):
    image = Image.fromarray(np.array([[[9, 9, 9, 0], [200, 100, 0, 255]]], np.uint8), "RGBA")
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    assert pixels(image, kind, **options).permute(1, 2, 0).tolist() == [[[255, 255, 255], [200, 100, 0]]]
    grey = Image.fromarray(np.array([[[9, 0], [50, 255]]], np.uint8), "LA")
    assert pixels(grey, channels=1).flatten().tolist() == [255, 50]


def test_palettes_and_black_and_white():
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 250, 20, 30])
    image.putdata([0, 1])
    assert pixels(image).permute(1, 2, 0).tolist() == [[[0, 0, 0], [250, 20, 30]]]
    see_through = pixels(image, transparency=b"\x00\xff")
    assert see_through.permute(1, 2, 0).tolist() == [[[255, 255, 255], [250, 20, 30]]]
    ink = Image.new("1", (2, 1))
    ink.putdata([0, 1])
    assert pixels(ink, channels=1).flatten().tolist() == [0, 255]


def test_the_first_of_several_frames():
    frames = [Image.new("L", (2, 2), value) for value in (10, 200)]
    file = stored(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    assert pixels_of(read_image(file, "x", 1)).unique().tolist() == [10]


@pytest.mark.parametrize("image", [Image.new("F", (2, 2), 0.5), Image.new("I", (2, 2), 70_000)], ids=["F", "I"])
def test_values_without_a_range_are_refused(image):
    with pytest.raises(ValueError, match=r"face.tiff: stores values of kind [FI]; allowed are 8 bits, and 16 bits"):
        read_image(stored(image, "TIFF"), "face.tiff")


def test_a_folder_of_mixed_kinds(tmp_path):
    Image.new("L", (4, 4), 10).save(tmp_path / "a.png")
    Image.new("CMYK", (4, 4)).save(tmp_path / "b.jpg")
    Image.fromarray(np.full((4, 4), 257 * 7, np.uint16)).save(tmp_path / "c.png")
    Image.new("RGBA", (4, 4)).save(tmp_path / "d.webp")
    data = load(f"folder:{tmp_path}", split="4/0/0")
    assert data.train.x.amin((1, 2, 3)).tolist() == [10, 255, 7, 255]


# --- names -----------------------------------------------------------------------------------------------------------


def test_names_in_other_scripts(tmp_path):
    for name in ("猫/Größe é.png", "猫/ñ.PNG", "собака/🐕.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4), 100).save(tmp_path / name)
    data = load(f"folder:{tmp_path}", split="3/0/0")
    assert data.class_names == ("собака", "猫")
    (tmp_path / "猫" / "ñ.PNG").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"猫/ñ.PNG: not a readable image"):
        load(f"folder:{tmp_path}")


def test_names_that_are_no_text(tmp_path):
    """Bytes that are no UTF-8, as old archives leave them: read, and named in a message that can be printed."""
    path = os.fsencode(tmp_path) + b"/caf\xe9.png"
    try:
        with open(path, "wb") as file:
            file.write(stored(Image.new("L", (4, 4), 100), "PNG").getvalue())
    except OSError:
        pytest.skip("this file system refuses such names")
    assert len(load(f"folder:{tmp_path}").train) == 1
    with open(path, "wb") as file:
        file.write(b"no image")
    with pytest.raises(ValueError, match=r"caf.*png: not a readable image") as error:
        load(f"folder:{tmp_path}")
    assert str(error.value).encode("utf-8", "backslashreplace")


# --- damage ----------------------------------------------------------------------------------------------------------


def noise(mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    return Image.fromarray(values).convert(mode)


KINDS = {"png": "PNG", "jpg": "JPEG", "bmp": "BMP", "tif": "TIFF", "webp": "WEBP"}


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("kept", [0, 1, 3, 20, 0.5, 0.9])
def test_truncated_images_are_named(tmp_path, suffix, kept):
    content = stored(noise(), KINDS[suffix]).getvalue()
    size = kept if isinstance(kept, int) else int(kept * len(content))
    path = tmp_path / f"face.{suffix}"
    path.write_bytes(content[:size])
    with pytest.raises(ValueError, match=f"{path}: not a readable image"):
        load(f"folder:{tmp_path}")


def damaged(content: bytes, choice: random.Random) -> bytes:
    """Bits flipped, bytes cut out or put in, most of them near the beginning."""
    spoiled = bytearray(content)
    reach = len(spoiled) if choice.random() < 0.3 else min(len(spoiled), 100)
    place = choice.randrange(reach)
    kind = choice.randrange(3)
    if kind == 0:
        for _ in range(choice.randint(1, 5)):
            spoiled[choice.randrange(reach)] ^= 1 << choice.randrange(8)
    elif kind == 1:
        del spoiled[place : place + choice.randint(1, 50)]
    else:
        spoiled[place:place] = bytes(choice.randrange(256) for _ in range(choice.randint(1, 10)))
    return bytes(spoiled)


def refused(folder: Path, seeds: range) -> int:
    """How many of the damaged images are refused; what is not is an image."""
    count = 0
    for seed in seeds:
        choice = random.Random(seed)
        suffix = choice.choice(list(KINDS))
        path = folder / f"face.{suffix}"
        mode = "L" if choice.random() < 0.5 or suffix == "webp" else "RGB"
        path.write_bytes(damaged(stored(noise(mode), KINDS[suffix]).getvalue(), choice))
        try:
            found = load(f"folder:{path.parent}", split="1/0/0")
        except ValueError as error:
            count += 1
            assert path.name in str(error)
        else:
            assert found.train.x.dtype == torch.uint8
        path.unlink()
    return count


@pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::PIL.Image.DecompressionBombWarning")
def test_eighty_damaged_images(tmp_path):
    assert refused(tmp_path, range(80)) > 20


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::PIL.Image.DecompressionBombWarning")
def test_eight_hundred_damaged_images(tmp_path):
    assert refused(tmp_path, range(1000, 1800)) > 200


def test_an_image_that_claims_to_be_enormous(tmp_path):
    """A header that asks for 4 TB of pixels."""
    content = bytearray(stored(noise(), "BMP").getvalue())
    content[18:26] = (2**20).to_bytes(4, "little") * 2
    (tmp_path / "bomb.bmp").write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"bomb.bmp: not a readable image"):
        load(f"folder:{tmp_path}")
