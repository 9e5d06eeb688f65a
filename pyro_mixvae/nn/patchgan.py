"""A discriminator that judges an image patch by patch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class PatchGAN(nn.Module):
    """A map of scores, each the log-odds that the patch it sees is real: [\\*, C, H, W] -> [\\*, H/8, W/8].

    Convolutions of size 3, the first ``num_strided`` of them with stride 2, then two with stride 1 and half the
    channels, each followed by batch norm, LeakyReLU and dropout; at last one to a single score, which has none of
    these (ours). A side that is no multiple of :math:`2^n` is rounded up.

    Args:
        in_shape: (C, H, W).
        out_shape: (), one number for each patch.
        channels: of the strided convolutions.
        num_strided: n; 3 is the paper's, 1 or 2 leave images below 32x32 more than a few patches.
        dropout: probability of dropping a value.
        slope: of LeakyReLU below 0.

    Raises:
        ValueError: for data that are not images or numbers outside these ranges.

    Example:
        >>> import torch
        >>> PatchGAN((3, 64, 64), channels=8)(torch.zeros(5, 3, 64, 64)).shape
        torch.Size([5, 8, 8])

    Source: Rivera, *How to train your VAE*, section 3.3, after Isola et al. (2017); layers from its author's code.
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        out_shape: Sequence[int] = (),
        channels: int = 128,
        num_strided: int = 3,
        dropout: float = 0.25,
        slope: float = 0.2,
    ) -> None:
        super().__init__()
        if len(in_shape) != 3 or len(out_shape):
            raise ValueError(
                f"a PatchGAN gives images (C, H, W) one score for each patch, got data of shape {tuple(in_shape)} and "
                f"scores of shape {tuple(out_shape)}"
            )
        if channels < 2:
            raise ValueError(f"channels: expected an integer >= 2, got {channels}")
        if num_strided < 0:
            raise ValueError(f"num_strided: expected an integer >= 0, got {num_strided}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout: expected a probability in [0, 1), got {dropout}")
        if not 0 <= slope < 1:
            raise ValueError(f"slope: expected a number in [0, 1), got {slope}")
        self.in_shape = tuple(in_shape)
        layers: list[nn.Module] = []
        before = self.in_shape[0]
        for number in range(num_strided + 2):
            after, stride = (channels, 2) if number < num_strided else (channels // 2, 1)
            layers += [
                nn.Conv2d(before, after, 3, stride, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.LeakyReLU(slope),
                nn.Dropout(dropout),
            ]
            before = after
        layers.append(nn.Conv2d(before, 1, 3, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.layers(x.reshape(-1, *self.in_shape)).squeeze(1)
        return scores.reshape(x.shape[:-3] + scores.shape[1:])


@contextmanager
def statistics_untouched(network: nn.Module) -> Iterator[None]:
    """For a while, a network's batch norm leaves its running statistics alone; in training it uses the batch's own."""
    norms = [layer for layer in network.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
