"""The palette remains apart under colour blindness; in grey, neighbours differ in their mark or line.

Dichromats' vision is simulated by the matrices of Machado, Oliveira and Fernandes (2009) at full severity, in linear
RGB; distances are CIE 1976 ones, of which about 2.3 can just be told apart side by side.
"""

from __future__ import annotations

from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest

from pyro_mixvae.figures.style import COLOURS, INK, LINES, MARKERS, PALE, colour, line, marker

SIGHT = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def linear(code: str) -> np.ndarray:
    values = np.array([int(code[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = TO_XYZ @ np.clip(rgb, 0, 1) / (TO_XYZ @ np.ones(3))
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SIGHT)
def test_colours_remain_apart(sight):
    seen = [lab(SIGHT[sight] @ linear(code)) for code in COLOURS]
    nearest, pair = min((np.linalg.norm(a - b), (i, j)) for (i, a), (j, b) in combinations(enumerate(seen), 2))
    assert nearest > 10, (sight, pair, nearest)


def test_colours_stand_out_from_white():
    """At least 2:1, and text at 4.5:1 and more (WCAG 2); marks of 16 points and lines need less than text."""

    def contrast(code):
        return 1.05 / (TO_XYZ[1] @ linear(code) + 0.05)

    assert min(map(contrast, COLOURS)) > 2
    assert contrast(INK) > 4.5
    assert contrast(PALE) > 3


def test_in_grey_groups_differ_by_mark_or_line():
    pairs = [(colour(index), marker(index)) for index in range(len(COLOURS) * len(MARKERS))]
    assert len(set(pairs)) == len(pairs)
    marks = [marker(index) for index in range(len(MARKERS))]
    assert len(set(marks)) == len(MARKERS)
    greys = [lab(linear(code))[0] for code in COLOURS]
    for index in range(3 * len(COLOURS)):
        differs_in_grey = abs(greys[index % len(COLOURS)] - greys[(index + 1) % len(COLOURS)]) > 5
        assert differs_in_grey or marker(index) != marker(index + 1)
        assert line(index) != line(index + 1)
    assert len(set(LINES)) == 4


def test_colour_maps_grow_in_lightness():
    """Blues and grey, the only maps that are used: darker is more, in print too."""
    for name in ("Blues", "gray_r"):
        lightness = [lab(linear(mpl.colors.to_hex(mpl.colormaps[name](at))))[0] for at in np.linspace(0, 1, 30)]
        assert np.all(np.diff(lightness) < 0.5), name
