"""The trade-off of lambda on the 8x8 digits: the shape of the Cauchy-Schwarz paper's figure 3, by ``pyro-mixvae sweep``.

Run ``python -m benchmarks.sweep_digits``. It trains a feature network for the Frechet distance first; a second run goes
on where the first one stopped. The runs lie in ``runs/``.
"""

from __future__ import annotations

import argparse
import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.record import FIGURES, HERE, described, write_json
from pyro_mixvae.cli import main as pyro_mixvae

NAME, RECIPE = "sweep_digits", "mixture-csrae-digits"
VALUES = ("0.1", "0.25", "0.5", "1", "2", "5", "10")
COMMAND = ["sweep", RECIPE, "--over", "objective.scale=" + ",".join(VALUES), "--data.validation", "237"]


def is_monotone(numbers: list[float], rising: bool) -> bool:
    """Whether each number is no smaller (or no larger) than the one before."""
    return all(b >= a if rising else b <= a for a, b in pairwise(numbers))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs") / NAME)
    folder = parser.parse_args().folder
    features = folder / "features-digits"
    if not (features / "results.json").exists():
        pyro_mixvae(["train", "features-digits", "--out", str(features), "--quiet"])
    out = folder / RECIPE
    if pyro_mixvae([*COMMAND, "--features", str(features), "--out", str(out), "--quiet"]):
        raise SystemExit("the sweep has failed")
    found: dict[str, Any] = json.loads((out / "sweep.json").read_text(encoding="utf-8"))
    network = json.loads((features / "results.json").read_text(encoding="utf-8"))["results"]["Classifier"]
    rows = found["runs"].values()
    shape = {
        "reconstruction worsens": is_monotone([row["reconstruction"] for row in rows], rising=True),
        "D_CS shrinks": is_monotone([row["divergence"] for row in rows], rising=False),
    }
    write_json(NAME, {**found, "feature network": network, "monotone": shape})
    FIGURES.mkdir(exist_ok=True)
    shutil.copy(out / "trade_off.png", FIGURES / f"{NAME}.png")
    verdict = ", ".join(f"{what}: {'at every step' if holds else 'not at every step'}" for what, holds in shape.items())
    text = (
        f"`pyro-mixvae {' '.join(COMMAND)} --features RUN`: Mixture-CSRAE, one seed, 1,200 digits to train on, 237 for "
        "validation, 360 for testing. reconstruction is -E log p(x|z) and divergence D_CS, unweighted, both on "
        f"validation data; the criterion is their sum. As lambda grows, {verdict}. The Frechet distance and the Inception "
        "Score of samples are measured with the recipe `features-digits`, a classifier with "
        f"{network['classification error (%)']:.1f} % errors on test data: not with Inception, so not comparable with "
        "published numbers."
    )
    page = described("The trade-off of lambda on the digits", text)
    table = (out / "sweep.md").read_text(encoding="utf-8")
    (HERE / f"{NAME}.md").write_text(f"{page}\n{table}\n![trade-off](figures/{NAME}.png)\n", encoding="utf-8")


if __name__ == "__main__":
    main()
