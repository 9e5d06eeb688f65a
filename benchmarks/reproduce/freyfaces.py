"""The training frames of the Frey faces with the part of the video that each is of, to learn features of faces from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pyro_mixvae.data import load

#: Where the recipe looks for the arrays, from the project's folder.
FOLDER = Path("runs/freyfaces_parts")
#: Parts of the video, each of 130 or 131 frames.
PARTS = 12


def prepare(data_dir: str | None, folder: Path = FOLDER) -> None:
    """Write ``images.npy``, uint8 [1565, 1, 28, 20], and ``labels.npy``, in random order, where they are not there yet.

    Raises:
        ValueError: where the data are missing.
    """
    if (folder / "labels.npy").exists():
        return
    frames = load("freyfaces", data_dir=data_dir).train.x.numpy()
    order = np.random.default_rng(0).permutation(len(frames))
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "images.npy", frames[order])
    np.save(folder / "labels.npy", order * PARTS // len(frames))
