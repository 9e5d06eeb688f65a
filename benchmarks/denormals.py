"""What a training step takes where numbers below 1.2e-38 count as zero, and where they do not.

python -m benchmarks.denormals --data-dir DIR [--steps 1500]

Two trainings of each model with the same seed, on one thread; the processor time of the last 300 steps is taken. Adam's
average of a gradient that has become zero needs some 750 steps to shrink so far.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch
from lightning.pytorch import Callback

from benchmarks.record import HERE, described, write_json
from pyro_mixvae.training import fit
from pyro_mixvae.training.options import apply_options
from pyro_mixvae.training.recipe import read_recipe
from pyro_mixvae.training.run import build_model, fit_options, open_data

TIMED = 300
RELU = (
    "--model.encoder={kind: mlp, hidden_dims: [500, 500]}",
    "--model.sub_activation=relu",
    "--model.decoder={kind: mlp, hidden_dims: [500]}",
)
#: Title, recipe, options.
ROWS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("GMVAE, 784-500-500, K = 30", "gmvae-mnist-mlp", ()),
    ("VAE, 784-300-300", "vae-mnist", ()),
    ("VampPrior, 784-300-300, K = 500", "vampprior-mnist", ()),
    ("MVAE, K = 6, GELUs (the recipe)", "mvae-mnist-gs", ()),
    ("MVAE, K = 6, ReLUs", "mvae-mnist-gs", RELU),
)


class Clock(Callback):
    """The processor time of the last steps, and how many of Adam's averages are denormal after them.

    Args:
        flush: what ``fit`` has set is undone where this is False.
        steps: of the whole training.
    """

    def __init__(self, flush: bool, steps: int) -> None:
        self.flush, self.steps, self.denormal = flush, steps, 0.0
        self.seconds = self.done = 0.0

    def on_train_start(self, trainer: Any, module: Any) -> None:
        torch.set_flush_denormal(self.flush)

    def on_train_batch_start(self, *_: Any) -> None:
        if self.done == self.steps - TIMED:
            self.seconds = -time.process_time()

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        self.done += 1
        if self.done == self.steps:
            self.seconds += time.process_time()
            states = [state["exp_avg"] for one in trainer.optimizers for state in one.state.values()]
            # by their bits, since a processor that flushes takes them for zero
            bits = torch.cat([average.flatten().view(torch.int32) & 0x7FFFFFFF for average in states])
            self.denormal = ((bits > 0) & (bits < 0x00800000)).double().mean().item()


def measure(recipe_name: str, options: tuple[str, ...], flush: bool, steps: int, data_dir: str | None) -> Clock:
    recipe, _ = apply_options(read_recipe(recipe_name), list(options))
    data = open_data(recipe, data_dir)
    model = build_model(recipe, data, seed=0)
    clock = Clock(flush, steps)
    own = fit_options(recipe) | {
        "patience": None,
        "max_epochs": -(-steps * recipe.sections["data"]["batch_size"] // len(data.train)),
    }
    fit(model, data, seed=0, compile=True, progress=False, callbacks=[clock], limit_val_batches=0, **own)
    return clock


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--steps", type=int, default=1500)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    measured, rows = {}, []
    for title, recipe, options in ROWS:
        kept, flushed = (
            measure(recipe, options, flush, arguments.steps, arguments.data_dir) for flush in (False, True)
        )
        before, after = (1e3 * clock.seconds / TIMED for clock in (kept, flushed))
        measured[title] = {"kept, ms": before, "flushed, ms": after, "denormal averages": kept.denormal}
        rows.append(f"| {title} | {before:.1f} | {after:.1f} | {after / before:.2f} | {100 * kept.denormal:.0f} % |")
        print(rows[-1], flush=True)
    write_json("denormals", measured)
    text = (
        f"Steps {arguments.steps - TIMED} to {arguments.steps} of a training on MNIST, compiled, in single precision, with fused Adam: processor time "
        "of a step where numbers below 1.2e-38 are kept, and where they count as zero, as `fit` has it for the time of a training. "
        "The last column is the share of Adam's averages of gradients that are such numbers, where they are kept: of units that "
        "no longer fire and of pixels that have become black. They shrink by a tenth at each step and stay at the smallest number "
        "there is, since nine tenths of it, rounded, are the same number."
    )
    head = "| | kept, ms | flushed, ms | ratio | denormal averages |\n|---|---|---|---|---|\n"
    page = described("Numbers too small for full speed", text) + "\n" + head + "\n".join(rows) + "\n"
    (HERE / "denormals.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
