"""One epoch of the GMVAE paper's convolutional MNIST recipe: time and memory on this machine."""

from __future__ import annotations

import argparse
import time

from benchmarks.record import HERE, described, write_json
from pyro_mixvae.training.fit import fit
from pyro_mixvae.training.recipe import read_recipe
from pyro_mixvae.training.run import build_model, fit_options, open_data, peak_memory_mib


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir")
    arguments = parser.parse_args()
    recipe = read_recipe("gmvae-mnist")
    data = open_data(recipe, arguments.data_dir)
    model = build_model(recipe, data, seed=0)
    options = {**fit_options(recipe), "max_epochs": 1}
    start = time.process_time()
    result = fit(model, data, seed=0, progress=False, **options)
    processor = time.process_time() - start
    row = result.history[-1]
    steps = -(-len(data.train) // options["batch_size"])
    measured = {
        "seconds": result.seconds,
        "processor_seconds": processor,
        "steps": steps,
        "peak_memory_mib": peak_memory_mib(),
        "epoch": row,
    }
    write_json("gmvae_conv_epoch", measured)
    text = (
        f"The recipe `gmvae-mnist` (tables A.1 to A.3, K = 10, batches of {options['batch_size']}, Adam at 1e-4) for one "
        f"epoch of {steps:,} steps: {result.seconds:.0f} s by the clock, {processor:.0f} s of processor time, peak memory "
        f"of the process {peak_memory_mib():.0f} MiB. The loss over that epoch is {row['train/loss']:.1f} nats per datum "
        f"(c-prior {row['train/c_prior']:.3f}). The paper trains about a hundred epochs, for which a GPU is advisable."
    )
    (HERE / "gmvae_conv_epoch.md").write_text(described("One epoch of the convolutional GMVAE", text), encoding="utf-8")


if __name__ == "__main__":
    main()
