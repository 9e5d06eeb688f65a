"""The README's picture, made of a finished run: ``python -m docs_tools.readme_picture RUN``.

Left the latent codes of held-out digits, coloured by the component that each belongs to; right draws from the
components with the most data, a row for each. The model has seen no label.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from pyro_mixvae.figures.style import COLOURS, TEXT, dress, marker, new_figure
from pyro_mixvae.training.finished_run import open_run
from pyro_mixvae.training.run import open_data

FILE = Path(__file__).resolve().parents[1] / "docs" / "figures" / "readme.png"
ROWS, DRAWS, GAP = 8, 10, 1


def main(run_folder: str) -> None:
    run = open_run(run_folder)
    x = open_data(run.recipe).test.values()
    with torch.no_grad():
        codes = run.model.encode(x)["z"].mean
        owner = run.model.responsibilities(x).argmax(-1)
    plane = codes - codes.mean(0)
    plane = (plane @ torch.linalg.svd(plane, full_matrices=False).Vh[:2].T).numpy()
    largest = owner.bincount().argsort(descending=True)[:ROWS].tolist()

    figure = new_figure(9.2, 3.9)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.08))
    others = torch.tensor([component not in largest for component in owner.tolist()]).numpy()
    left.scatter(*plane[others].T, s=9, color="#CCCCCC", linewidths=0)
    for index, component in enumerate(largest):
        left.scatter(
            *plane[(owner == component).numpy()].T, s=16, color=COLOURS[index], marker=marker(index), linewidths=0
        )
    dress(left, "Codes of 360 digits that were held out, by component")
    left.set(xticks=[], yticks=[])

    torch.manual_seed(0)
    framed = [torch.nn.functional.pad(run.model.sample(DRAWS, component=k).squeeze(1), (GAP,) * 4) for k in largest]
    rows = [torch.cat(list(images), dim=1) for images in framed]
    right.imshow(torch.cat(rows), cmap="gray_r", interpolation="nearest", vmin=0, vmax=1)
    dress(right, "Draws from the eight largest components")
    right.set(xticks=[], yticks=[])
    right.spines[:].set_visible(False)
    right.set_anchor("N")
    side = len(rows[0])
    for index in range(ROWS):
        right.plot(
            -5, side * (index + 0.5) - 0.5, marker=marker(index), color=COLOURS[index], markersize=7, clip_on=False
        )
    figure.text(0.01, -0.03, "gmvae-digits: no label was used in training", fontsize=TEXT)
    FILE.parent.mkdir(exist_ok=True)
    figure.savefig(FILE, dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main(sys.argv[1])
