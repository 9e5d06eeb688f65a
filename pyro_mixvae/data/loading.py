"""One door to all data sets: ``load(name)``."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .binarize import Binarize, binarized
from .dataset import DataSet
from .few_labels import few_labels
from .flips import flipped
from .moves import moved
from .value_range import ranged

SOURCES: dict[str, str] = {
    "digits": "digits:load_digits",
    "mnist": "mnist:load_mnist",
    "fashion-mnist": "mnist:load_fashion_mnist",
    "svhn": "svhn:load_svhn",
    "cifar10": "cifar10:load_cifar10",
    "omniglot": "omniglot:load_omniglot",
    "celeba": "celeba:load_celeba",
    "caltech101-silhouettes": "caltech101:load_caltech101_silhouettes",
    "freyfaces": "freyfaces:load_freyfaces",
    "arcs": "arcs:load_arcs",
    "pinwheel": "pinwheel:load_pinwheel",
    "two-gaussians": "two_gaussians:load_two_gaussians",
    "npy": "array_file:load_npy",
    "folder": "image_folder:load_folder",
}
"""Where each data set is made: the module of this package and its function."""

_WITH_PATH = ("npy", "folder")


def names() -> tuple[str, ...]:
    """What :func:`load` can be asked for; ``npy:PATH`` and ``folder:PATH`` stand for any path."""
    return tuple(f"{name}:PATH" if name in _WITH_PATH else name for name in SOURCES)


def load(
    name: str,
    data_dir: str | Path | None = None,
    download: bool = False,
    binarize: Binarize = "none",
    value_range: Sequence[float] = (0.0, 1.0),
    flips: bool = False,
    rotation: float = 0.0,
    shift: float = 0.0,
    labelled: float = 1.0,
    seed: int = 0,
    **options: Any,
) -> DataSet:
    """A data set by its name.

    Args:
        name: one of :func:`names`, such as ``"digits"``, ``"mnist"`` or ``"folder:photographs"``.
        data_dir: where the files of published data sets lie; ``None`` is ``$PYRO_MIXVAE_DATA``,
            else ``./data``. Only read, unless ``download``.
        download: fetch missing files, where torchvision knows how to.
        binarize: ``"static"`` draws each value once, ``"dynamic"`` training data anew at every visit
            (see :func:`pyro_mixvae.data.binarized`).
        value_range: the values of black and white, such as ``[-1, 1]`` (see :func:`pyro_mixvae.data.ranged`).
        flips: mirror training images from left to right at random at every visit.
        rotation: turn training images at random at every visit, by so many degrees at most.
        shift: shift them at random, by so many pixels at most in each direction.
        labelled: share of the training data that keep their labels, or (from 2) how many do, chosen at random; the
            others' become -1.
        seed: names the draws of synthetic data and of ``binarize``; not negative. The splits of real data
            do not depend on it.
        options: further arguments of the one data set, such as ``split="45000/5000/10000"``.

    Returns:
        The data set.

    Raises:
        MissingDataError: (a ``ValueError``) if files are missing: which, where, and where they are published.
        ValueError: for a name or an option that does not exist (says the nearest right ones), for damaged
            files, and for binary images in another range than [0, 1].

    >>> load("digits").train.x.shape
    torch.Size([1437, 1, 8, 8])
    >>> load("minst")
    Traceback (most recent call last):
    ValueError: data: no data set is called 'minst'; did you mean 'mnist'?
    """
    kind, _, path = name.partition(":")
    if kind not in SOURCES or bool(path) != (kind in _WITH_PATH):
        raise ValueError(f"data: no data set is called {name!r}; {_suggestion(name, names())}")
    if seed < 0:
        raise ValueError(f"seed: got {seed}; allowed are integers from 0")
    module, function = SOURCES[kind].split(":")
    make = getattr(importlib.import_module(f".{module}", __package__), function)
    given = {"path": path, "data_dir": data_dir, "download": download, "seed": seed}
    taken = inspect.signature(make).parameters
    known = [option for option in taken if option not in given]
    for option in options:
        if option not in known:
            raise ValueError(f"{option}: no option of the data {kind!r}; {_suggestion(option, known)}")
    shared = {argument: value for argument, value in given.items() if argument in taken}
    if binarize != "none" and tuple(value_range) != (0, 1):
        raise ValueError(
            f"value_range: got {list(value_range)} with binarize {binarize!r}; binary images are in [0, 1]"
        )
    data = make(**shared, **options)
    data = few_labels(data, labelled, seed)
    return moved(flipped(ranged(binarized(data, binarize, seed), value_range), flips), rotation, shift)


def _suggestion(wrong: str, right: list[str] | tuple[str, ...]) -> str:
    near = difflib.get_close_matches(wrong, right, n=3, cutoff=0.5)
    if near:
        return f"did you mean {', '.join(map(repr, near))}?"
    return f"allowed are {', '.join(right)}" if right else "it has none"
