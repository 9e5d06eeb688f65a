"""How much generated images are like real ones, seen through a network's features."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

#: The published weights of the network that Frechet distances and Inception Scores of papers are measured with.
INCEPTION_WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"
INCEPTION_PUBLISHED = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION_WEIGHTS}"


class ImageNetwork(Protocol):
    """A classifier of images that can be asked for what it sees, such as one that ``features-mnist`` trains."""

    def features(self, x: Tensor, /) -> Tensor:
        """Images [N, \\*event_shape] -> [N, F]."""

    def predict_proba(self, x: Tensor, /) -> Tensor:
        """Images [N, \\*event_shape] -> [N, C], rows that sum to one."""


def image_quality(
    real: Tensor, generated: Tensor, network: ImageNetwork, batch_size: int = 500, splits: int = 10, seed: int = 0
) -> dict[str, float]:
    r"""The Frechet distance of generated images from real ones, and their Inception Score, by torchmetrics.

    .. math::

        \mathrm{FD} &= |m - m'|^2 + \operatorname{tr}\big(S + S' - 2 (S S')^{1/2}\big) \\
        \mathrm{IS} &= \exp\big(\mathbb{E}_x KL(p(y \mid x) \,\|\, p(y))\big)

    with the means m, m' and covariances S, S' of the features. Both numbers depend on the network: say beside them
    which it was; with the Inception network they are the published FID and IS.

    Args:
        real: images, [N, \*event_shape].
        generated: images of the same shape, [M, \*event_shape].
        network: whose features and class probabilities are taken.
        batch_size: images that go through it at once.
        splits: parts of the generated images whose scores are averaged.
        seed: of how they are shared out; the caller's random state is left alone.

    Returns:
        ``"Frechet distance"``, ``"Inception Score"`` and ``"Inception Score, sd"`` over the splits.

    Raises:
        ValueError: for images of different shapes, fewer than two of either, or fewer generated ones than splits.

    Source: Heusel et al. (2017); Salimans et al. (2016).
    """
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.inception import InceptionScore

    if real.shape[1:] != generated.shape[1:]:
        raise ValueError(
            f"generated: got images of shape {list(generated.shape[1:])}, but {list(real.shape[1:])} in real"
        )
    if min(len(real), len(generated)) < 2:
        raise ValueError(f"real, generated: got {len(real)} and {len(generated)} images; allowed are 2 or more")
    if not 1 <= splits <= len(generated):
        raise ValueError(f"splits: got {splits}; allowed are 1..{len(generated)}, the generated images")
    with torch.no_grad(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # that it keeps the features of all images, and that one split has no spread
        warnings.filterwarnings("ignore", message=".*InceptionScore.*|std.*", category=UserWarning)
        num_features = network.features(generated[:1]).shape[-1]
        distance = FrechetInceptionDistance(feature=_Module(network.features, num_features))
        score = InceptionScore(feature=_Module(lambda x: _log(network.predict_proba(x))), splits=splits)
        for batch in real.split(batch_size):
            distance.update(batch, real=True)
        for batch in generated.split(batch_size):
            distance.update(batch, real=False)
            score.update(batch)
        torch.manual_seed(seed)
        mean, spread = score.compute()
        return {
            "Frechet distance": distance.compute().item(),
            "Inception Score": mean.item(),
            "Inception Score, sd": spread.item() if splits > 1 else 0.0,
        }


def inception_network(weights: str | Path | None = None) -> ImageNetwork:
    """The Inception network of published scores, where its weights lie on this machine; nothing is fetched.

    Args:
        weights: the file; None: where torch's hub keeps files.

    Raises:
        ValueError: without the file or the package ``torch-fidelity``; says where they are to be had.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_WEIGHTS if weights is None else Path(weights)
    if not path.is_file():
        raise ValueError(
            f"inception: looked for the network's weights at {path}; published at {INCEPTION_PUBLISHED}. A network of "
            "your own does instead, such as 'pyro-mixvae train features-mnist' trains"
        )
    try:
        import torch_fidelity  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        raise ValueError("inception: the network is part of torch-fidelity: pip install torch-fidelity") from None
    return _Inception(path)


class _Inception:
    """torchmetrics' own Inception network on grey or coloured images in [0, 1]."""

    def __init__(self, weights: Path) -> None:
        from torchmetrics.image.fid import NoTrainInceptionV3

        parts = ("2048", "logits_unbiased")
        self.of_features, self.of_logits = (
            NoTrainInceptionV3("inception-v3-compat", [part], str(weights)) for part in parts
        )

    def features(self, x: Tensor) -> Tensor:
        return self.of_features(_coloured(x))

    def predict_proba(self, x: Tensor) -> Tensor:
        return self.of_logits(_coloured(x)).softmax(-1)


def _coloured(x: Tensor) -> Tensor:
    if x.dim() != 4 or x.shape[1] not in (1, 3):
        raise ValueError(f"images: got shape {list(x.shape)}; the Inception network takes [N, 1 or 3, H, W]")
    return (x.clamp(0, 1) * 255).round().byte().expand(-1, 3, -1, -1)


def _log(probabilities: Tensor) -> Tensor:
    """Logarithms that stay finite where a probability is 0, so that 0 log 0 is 0."""
    return probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny).log()


class _Module(nn.Module):
    """A function as the module that torchmetrics asks for."""

    def __init__(self, function: Callable[[Tensor], Tensor], num_features: int = 0) -> None:
        super().__init__()
        self.function, self.num_features = function, num_features

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)
