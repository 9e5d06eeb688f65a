"""K encoders as one batched computation against a loop over K torch networks: value and gradient, interleaved."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.record import RESULTS, described, write_json
from pyro_mixvae.nn.ensemble import EnsembleConv, EnsembleMLP

NAME = "mvae_encoders"
#: Name, K, batch, shape of a datum, and the hidden widths or the convolutions' channels (each of stride 2).
CASES: list[tuple[str, int, int, tuple[int, ...], tuple[int, ...]]] = [
    ("mlp, digits", 6, 100, (1, 8, 8), (128,)),
    ("mlp, MNIST", 4, 100, (1, 28, 28), (500, 500)),
    ("mlp, MNIST", 6, 100, (1, 28, 28), (500, 500)),
    ("conv, MNIST", 4, 64, (1, 28, 28), (32, 64)),
    ("conv, CIFAR-10", 6, 64, (3, 32, 32), (32, 64, 128)),
    ("conv, CelebA", 6, 16, (3, 64, 64), (32, 64, 128, 256, 256)),
]
OUT = 21


def one_network(name: str, shape: tuple[int, ...], widths: tuple[int, ...]) -> nn.Module:
    """One of the K, of torch's own layers."""
    layers: list[nn.Module] = []
    if name.startswith("mlp"):
        layers.append(nn.Flatten())
        size = shape[0] * shape[1] * shape[2]
        for width in widths:
            layers += [nn.Linear(size, width), nn.ReLU()]
            size = width
    else:
        channels = shape[0]
        for width in widths:
            layers += [nn.Conv2d(channels, width, 3, 2, 1), nn.ReLU()]
            channels = width
        layers.append(nn.Flatten())
        size = channels * (shape[1] >> len(widths)) * (shape[2] >> len(widths))
    return nn.Sequential(*layers, nn.Linear(size, OUT))


def ratio(batched: Callable[[], Tensor], loop: Callable[[], Tensor], rounds: int, cuda: bool) -> tuple[float, ...]:
    """Medians of the ratio and of both times in milliseconds, measured in turn."""

    # on a machine that is shared, the one thread's own time says more than the clock
    clock = time.perf_counter if cuda else time.process_time

    def timed(network: Callable[[], Tensor]) -> float:
        start = clock()
        network().square().sum().backward()
        if cuda:
            torch.cuda.synchronize()
        return clock() - start

    for _ in range(3):
        timed(batched), timed(loop)
    pairs = [(timed(batched), timed(loop)) for _ in range(rounds)]
    return (
        statistics.median(own / other for own, other in pairs),
        1e3 * statistics.median(own for own, _ in pairs),
        1e3 * statistics.median(other for _, other in pairs),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, count, batch, shape, widths in CASES:
        torch.manual_seed(0)
        if name.startswith("mlp"):
            ensemble: nn.Module = EnsembleMLP(shape, (OUT,), count, hidden_dims=widths)
        else:
            ensemble = EnsembleConv(shape, (OUT,), count, layers=[(width, 2) for width in widths])
        networks = nn.ModuleList(one_network(name, shape, widths) for _ in range(count)).to(arguments.device)
        ensemble, x = ensemble.to(arguments.device), torch.rand(batch, *shape, device=arguments.device)

        def batched(ensemble: nn.Module = ensemble, x: Tensor = x) -> Tensor:
            return ensemble(x)

        def loop(networks: nn.ModuleList = networks, x: Tensor = x) -> Tensor:
            return torch.stack([network(x) for network in networks], 1)

        found, own, other = ratio(batched, loop, arguments.rounds, arguments.device != "cpu")
        row = {"case": name, "K": count, "batch": batch, "ratio": found, "batched ms": own, "loop ms": other}
        rows.append(row)
        print(row, flush=True)
    suffix = "" if arguments.device == "cpu" else f"_{arguments.device}"
    write_json(NAME + suffix, rows)
    lines = [
        f"| {row['case']} | {row['K']} | {row['batch']} | {row['batched ms']:.1f} | {row['loop ms']:.1f} "
        f"| {row['ratio']:.2f} |"
        for row in rows
    ]
    where = arguments.device
    text = f"""One step's value and gradient of K encoders on {where}: `nn.ensemble` beside a loop over K networks of
torch's own layers, measured in turn {arguments.rounds} times, medians of the processor's time. On a CPU the convolutions of an ensemble run
one network after the other on the stacked parameters, since grouped convolutions are slower there."""
    table = "| networks | K | batch | batched, ms | loop, ms | ratio |\n|---|---|---|---|---|---|\n" + "\n".join(lines)
    title = "K encoders as one computation"
    (RESULTS.parent / f"{NAME}{suffix}.md").write_text(f"{described(title, text)}\n{table}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
