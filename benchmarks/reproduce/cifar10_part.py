"""5,000 images of CIFAR-10 as arrays, from the PNG files in which convnetjs published them, a thousand in each."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from PIL import Image

#: Where the recipes look for the arrays, from the project's folder; 4,000 training images, then 1,000 test images.
FOLDER = Path("runs/cifar10_part")
BATCHES = (0, 1, 2, 3, 50)


def prepare(data_dir: str | None, folder: Path = FOLDER) -> None:
    """Write ``images.npy``, uint8 [5000, 3, 32, 32], and ``labels.npy``, where they are not there yet.

    Raises:
        ValueError: where the PNG files are missing.
    """
    if (folder / "labels.npy").exists():
        return
    place = Path(data_dir or os.environ.get("PYRO_MIXVAE_DATA", "data")) / "cifar10_part"
    if not (place / "cifar10_labels.js").is_file():
        raise ValueError(f"--data-dir: {place} has no cifar10_labels.js; expected cifar10_batch_*.png beside it")
    parts = [np.asarray(Image.open(place / f"cifar10_batch_{b}.png")).reshape(1000, 32, 32, 3) for b in BATCHES]
    text = (place / "cifar10_labels.js").read_text(encoding="utf-8")
    labels = np.array(json.loads(text[text.index("[") : text.rindex("]") + 1]))
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "images.npy", np.ascontiguousarray(np.concatenate(parts).transpose(0, 3, 1, 2)))
    np.save(folder / "labels.npy", np.concatenate([labels[1000 * b : 1000 * (b + 1)] for b in BATCHES]))
