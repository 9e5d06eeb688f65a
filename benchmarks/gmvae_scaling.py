"""Time and memory of a GMVAE's step against the number of components K and of Monte Carlo samples M."""

from __future__ import annotations

import math
import statistics
import time

import torch

from benchmarks.record import HERE, described, write_json
from pyro_mixvae.models import GMVAE

BATCH, LATENT = 100, 20
COMPONENTS = (64, 256, 1024, 4096)
PARTICLES = (1, 4, 16, 64)


def measure(num_components: int, num_particles: int, repeats: int = 7) -> tuple[float, float]:
    """Median seconds of a forward and backward pass, and MiB that the forward pass keeps for the backward pass."""
    torch.manual_seed(0)
    network = {"kind": "mlp", "hidden_dims": [200, 200]}
    model = GMVAE((784,), LATENT, num_components, 10, encoder=network, decoder=network, num_particles=num_particles)
    objective = model.objective()(model.model, model.guide)
    x = torch.rand(BATCH, 784)
    kept = 0

    def count(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        objective(x).backward()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        objective(x).backward()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), kept / 2**20


def slope(sizes: tuple[int, ...], values: list[float]) -> float:
    """The exponent between the two largest sizes."""
    return math.log(values[-1] / values[-2]) / math.log(sizes[-1] / sizes[-2])


def main() -> None:
    torch.set_num_threads(1)
    sweeps = {
        "K, at M = 1": (COMPONENTS, [measure(k, 1) for k in COMPONENTS]),
        "M, at K = 10": (PARTICLES, [measure(10, m) for m in PARTICLES]),
    }
    measured, blocks = {}, []
    for name, (sizes, results) in sweeps.items():
        seconds, memory = [list(column) for column in zip(*results, strict=True)]
        slopes = {"time": slope(sizes, seconds), "memory": slope(sizes, memory)}
        measured[name] = {"sizes": sizes, "seconds": seconds, "memory_mib": memory, "slopes": slopes}
        rows = [f"| {n} | {1000 * t:.1f} | {m:.1f} |" for n, t, m in zip(sizes, seconds, memory, strict=True)]
        head = f"| {name.split(',')[0]} | step, ms | kept for backward, MiB |\n|---|---|---|\n"
        last = f"\n\nExponent between the two largest: time {slopes['time']:.2f}, memory {slopes['memory']:.2f}.\n"
        blocks.append(f"\n## Against {name}\n\n{head}" + "\n".join(rows) + last)
    write_json("gmvae_scaling", measured)
    text = (
        f"Forward and backward pass of `GMVAE` with fully connected networks 784-200-200, latent_dim {LATENT}, batch "
        f"{BATCH}. An exponent of at most 1 is linear growth."
    )
    (HERE / "gmvae_scaling.md").write_text(described("GMVAE: growth in K and M", text) + "".join(blocks))


if __name__ == "__main__":
    main()
