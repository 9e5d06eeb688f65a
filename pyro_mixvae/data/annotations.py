"""Yes-or-no labels of images from a table, and folds that no subject is on both sides of."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .files import MissingDataError

#: Columns that every table has; all others are labels.
IMAGE, SUBJECT = "image", "subject"
#: The greatest intensity that the Facial Action Coding System knows.
MAX_INTENSITY = 5
#: Of the data that are not tested on, every so many-th is for validation.
VALIDATION_EVERY = 10


@dataclass(frozen=True)
class Annotations:
    """A table of labels, row by row.

    Attributes:
        images: names relative to the folder.
        subjects: who each image shows.
        labels: [N, L], 1 for yes, 0 for no, -1 for a missing one.
        names: of the L labels.
    """

    images: tuple[str, ...]
    subjects: tuple[str, ...]
    labels: Tensor
    names: tuple[str, ...]


def read_annotations(path: Path, threshold: int = 1) -> Annotations:
    """Read a table of labels, one line for each image::

        image,subject,AU1,AU2
        SN001/0001.png,SN001,0,3
        SN001/0002.png,SN001,,1

    The columns ``image`` (the path inside the folder) and ``subject`` come first or anywhere; every other column is a
    label: an intensity from 0 to 5, or nothing (or -1) where it is not known.

    Args:
        path: a CSV file with a header, in UTF-8.
        threshold: the smallest intensity that is a yes, 1..5.

    Raises:
        MissingDataError: if there is no such file.
        ValueError: for a file that is no such table, an image that is listed twice, an intensity outside 0..5, or a
            table without a single label.
    """
    if not 1 <= threshold <= MAX_INTENSITY:
        raise ValueError(f"threshold: got {threshold}; allowed are 1..{MAX_INTENSITY}")
    if not path.is_file():
        raise MissingDataError(f"annotations: looked for {path.absolute()}; no such file")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"annotations: {path} is no CSV file in UTF-8 ({error})") from None
    header = [word.strip() for word in rows[0]] if rows else []
    names = tuple(word for word in header if word not in (IMAGE, SUBJECT))
    if IMAGE not in header or SUBJECT not in header or not names or len(set(header)) < len(header):
        raise ValueError(
            f"annotations: {path} begins with {','.join(header) or 'nothing'}; expected the columns {IMAGE}, {SUBJECT} "
            "and one for each label"
        )
    images, subjects, labels = [], [], []
    for number, row in enumerate(rows[1:], start=2):
        if not any(word.strip() for word in row):
            continue
        if len(row) != len(header):
            raise ValueError(f"annotations: {path}, line {number}: {len(row)} columns, but {len(header)} in the header")
        line = dict(zip(header, (word.strip() for word in row), strict=True))
        images.append(line[IMAGE])
        subjects.append(line[SUBJECT])
        labels.append([_answer(line[name], threshold, f"{path}, line {number}, {name}") for name in names])
    if twice := [name for name, count in Counter(images).items() if count > 1]:
        raise ValueError(f"annotations: {path} lists {twice[0]} more than once")
    if not any(answer >= 0 for answers in labels for answer in answers):
        raise ValueError(f"annotations: {path} has no labelled data at all")
    return Annotations(tuple(images), tuple(subjects), torch.tensor(labels), names)


def _answer(word: str, threshold: int, where: str) -> int:
    if word in ("", "-1"):
        return -1
    try:
        intensity = float(word)
    except ValueError:
        intensity = -1.0
    if intensity != int(intensity) or not 0 <= intensity <= MAX_INTENSITY:
        raise ValueError(
            f"annotations: {where}: got {word!r}; allowed are intensities 0..{MAX_INTENSITY}, and nothing where missing"
        )
    return int(intensity >= threshold)


def matched(found: Annotations, images: Sequence[str], folder: Path) -> Tensor:
    """Which row of the table each image has, [N].

    Args:
        found: the table.
        images: names of the images that there are, relative to the folder.
        folder: for the message.

    Raises:
        ValueError: unless the table lists these images and no others.
    """
    row_of = {name: number for number, name in enumerate(found.images)}
    there = set(images)
    differing = sorted(there.symmetric_difference(row_of))
    if differing:
        what = "is listed, but not there" if differing[0] in row_of else "is there, but not listed"
        raise ValueError(
            f"annotations: {len(row_of)} images are listed, {len(there)} are in {folder.absolute()}; "
            f"{len(differing)} do not match, the first: {differing[0]} {what}"
        )
    return torch.tensor([row_of[name] for name in images])


def subject_folds(subjects: Sequence[str], folds: int) -> Tensor:
    """The fold of each datum, [N]: all data of a subject in one, and the folds as even as that allows.

    Subjects are taken from the one with the most data down (in order of their names where that is equal), each into
    the fold that has the fewest so far.

    Args:
        subjects: of each datum.
        folds: how many, 2 or more and no more than there are subjects.

    Raises:
        ValueError: for another number.

    >>> subject_folds(["a", "a", "a", "b", "b", "c"], 2)
    tensor([0, 0, 0, 1, 1, 1])
    """
    counts = Counter(subjects)
    if not 2 <= folds <= len(counts):
        raise ValueError(f"folds: got {folds}; allowed are 2..{len(counts)}, the subjects")
    sizes = [0] * folds
    fold_of: dict[str, int] = {}
    for subject in sorted(counts, key=lambda name: (-counts[name], name)):
        fold_of[subject] = sizes.index(min(sizes))
        sizes[fold_of[subject]] += counts[subject]
    return torch.tensor([fold_of[subject] for subject in subjects])


def parts_of_fold(fold_of: Tensor, fold: int, folds: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows for training, validation and testing: the fold is tested on, of the others every tenth row validates.

    Raises:
        ValueError: for a fold outside 0..folds-1.
    """
    if not 0 <= fold < folds:
        raise ValueError(f"fold: got {fold}; allowed are 0..{folds - 1}")
    others = (fold_of != fold).nonzero().squeeze(-1)
    validating = torch.arange(len(others)) % VALIDATION_EVERY == VALIDATION_EVERY - 1
    return others[~validating], others[validating], (fold_of == fold).nonzero().squeeze(-1)
