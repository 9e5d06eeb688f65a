"""The common look of all figures: colours, marks and axes, without touching Matplotlib's global settings."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

Values = Tensor | ArrayLike
"""A tensor on any device, an array, or nested lists of numbers."""

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#882255", "#1A1A1A")
"""Eight colours that remain apart under the common colour blindnesses: those of Okabe and Ito (2008), with
a wine red (Tol, 2021) for their yellow, which is too pale for small marks on white. The last is almost black: beside
the wine red a lighter grey looks the same without green cones."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Seven marks: with eight colours the pairs repeat only after 56, and neighbours differ in grey too."""

LINES = ("-", "--", "-.", ":")

INK, PALE, RULE = "#262626", "#8C8C8C", "#DDDDDD"
TITLE, TEXT, SMALL = 11, 10, 9


def to_array(values: Values) -> NDArray[Any]:
    """The values as a NumPy array, detached and on the CPU."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def colour(index: int) -> str:
    """The colour of the group with this number."""
    return COLOURS[index % len(COLOURS)]


def marker(index: int) -> str:
    """The mark of the group with this number."""
    return MARKERS[index % len(MARKERS)]


def line(index: int) -> str:
    """The line style of the curve with this number."""
    return LINES[index % len(LINES)]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches, on white, that arranges its parts itself."""
    return Figure(figsize=(width, height), dpi=120, layout="constrained", facecolor="white")


def titled(figure: Figure, title: str | None) -> Figure:
    """The figure with a heading, where there is one."""
    if title:
        figure.suptitle(title, fontsize=TITLE + 1, color=INK)
    return figure


def dress(axes: Axes, title: str | None = None, x: str | None = None, y: str | None = None) -> Axes:
    """Axes with a title, labels and two light spines."""
    if title:
        axes.set_title(title, fontsize=TITLE, color=INK)
    if x:
        axes.set_xlabel(x, fontsize=TEXT, color=INK)
    if y:
        axes.set_ylabel(y, fontsize=TEXT, color=INK)
    axes.tick_params(labelsize=SMALL, colors=INK, length=3, width=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=PALE, linewidth=0.8)
    return axes


def ruled(axes: Axes) -> Axes:
    """Axes with light horizontal rules behind the data."""
    axes.grid(axis="y", color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    return axes


def name_at(axes: Axes, x: float, y: float, text: str) -> None:
    """Write a name into a plot, legible on any ground."""
    halo = [withStroke(linewidth=2.5, foreground="white")]
    axes.text(x, y, text, fontsize=TEXT, fontweight="bold", color=INK, ha="center", va="center", path_effects=halo)


def number(value: float, form: str = ".2g") -> str:
    """A number with a true minus sign.

    >>> number(-0.5)
    '−0.5'
    """
    return f"{value:{form}}".replace("-", "\N{MINUS SIGN}")


def percent(share: float) -> str:
    """A share in [0, 1] as a percentage with as many digits as can be read.

    >>> percent(0.0312), percent(0.5), percent(0.0)
    ('3.1%', '50%', '0%')
    """
    value = 100 * share
    return f"{value:.1f}%" if 0 < value < 10 else f"{value:.0f}%"


def series_epochs(epochs: Values | None, length: int, name: str) -> NDArray[Any]:
    """The epochs that a series of this length is drawn over: as given, else 1, 2, ...

    Raises:
        ValueError: if the number of epochs is another.
    """
    if epochs is None:
        return np.arange(1, length + 1)
    array = to_array(epochs)
    if array.shape != (length,):
        raise ValueError(f"epochs: got shape {array.shape}, but {name!r} has {length} values")
    return array
