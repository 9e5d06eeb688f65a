"""Binary images from grey ones: every value in [0, 1] is the probability of a one."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import torch
from torch import Tensor

from .checks import check_data
from .dataset import DataSet, Split, as_float
from .seeds import generator

Binarize = Literal["none", "static", "dynamic"]

_ROWS = 4096
_PARTS = ("train", "validation", "test")


def bernoulli_draw(x: Tensor, noise: torch.Generator) -> Tensor:
    """One Bernoulli draw for each value.

    Args:
        x: probabilities, any shape, floating point in [0, 1]; 0 and 1 are kept for certain.
        noise: the source of randomness, on the device of ``x``.

    Returns:
        Zeros and ones, of the shape and type of ``x``.

    >>> bernoulli_draw(torch.tensor([0.0, 1.0]), torch.Generator().manual_seed(0))
    tensor([0., 1.])
    """
    return (torch.rand(x.shape, generator=noise, device=x.device, dtype=x.dtype) < x).to(x.dtype)


def fixed_draw(split: Split, seed: int, part: int = 0) -> Split:
    """A split with each value replaced by one Bernoulli draw, the same whenever the seed is the same.

    Args:
        split: data in [0, 1], or ``uint8``.
        seed: names the draw.
        part: which part of the data set this is, so that the parts have independent noise.

    Returns:
        The same labels with binary ``uint8`` data, 0 and 255 (which stand for 0 and 1).
    """
    noise = generator(seed, part)
    draws = torch.empty(split.x.shape, dtype=torch.uint8)
    for rows, kept in zip(split.x.split(_ROWS), draws.split(_ROWS), strict=True):
        kept.copy_(bernoulli_draw(as_float(rows), noise).mul_(255))
    return Split(draws, split.y)


def binarized(data: DataSet, binarize: Binarize, seed: int) -> DataSet:
    """A data set of binary images.

    Args:
        data: grey images in [0, 1], or ``uint8``.
        binarize: ``"none"`` returns the data as they are. ``"static"``: one draw for each part, fixed by the
            seed. ``"dynamic"``: training data are drawn afresh at every visit (the data set's ``transform``);
            validation and test are the fixed draws of ``"static"``, so that figures can be repeated.
        seed: names the fixed draws.

    Returns:
        The data set, its name kept.

    Raises:
        ValueError: for another word, and for data outside [0, 1].
    """
    if binarize not in ("none", "static", "dynamic"):
        raise ValueError(f"binarize: got {binarize!r}; allowed are 'none', 'static', 'dynamic'")
    if binarize == "none":
        return data
    for name, split in data.parts().items():
        check_data(split.x, low=0, high=1, name=f"{data.name}, {name} (to be binarized)")
    parts: dict[str, Any] = {
        name: fixed_draw(split, seed, _PARTS.index(name))
        for name, split in data.parts().items()
        if not (binarize == "dynamic" and name == "train")
    }
    return dataclasses.replace(data, **parts, transform=bernoulli_draw if binarize == "dynamic" else None)
