"""How sharp images are."""

from __future__ import annotations

import torch
from torch import Tensor

from .inputs import Values, to_tensor


def gradient_magnitude(images: Values) -> float:
    r"""The mean length of the brightness gradient, by differences of neighbouring pixels.

    .. math:: \overline{\sqrt{(x_{i+1,j} - x_{ij})^2 + (x_{i,j+1} - x_{ij})^2}}

    Args:
        images: ``[N, C, H, W]`` or ``[N, H, W]``, H and W at least 2; ``uint8`` values are taken as v/255.

    Returns:
        The mean over pixels that have both neighbours, channels and images.

    Raises:
        ValueError: for other shapes, or values that are not finite.

    >>> gradient_magnitude(torch.tensor([[[0.0, 3.0], [4.0, 0.0]]]))
    5.0
    """
    pixels = _pixels(images, "images")
    down = (pixels[..., 1:, :] - pixels[..., :-1, :])[..., :-1]
    right = (pixels[..., 1:] - pixels[..., :-1])[..., :-1, :]
    return float(torch.hypot(down, right).mean())


def sharpness(reconstructions: Values, data: Values) -> float:
    """The mean gradient magnitude of reconstructions over that of their data: 1 is as sharp, less is blurred.

    Args:
        reconstructions: ``[N, C, H, W]`` or ``[N, H, W]``.
        data: of the same shape and range.

    Raises:
        ValueError: if the shapes differ or are others, if values are not finite, or for data without any edge.

    >>> data = torch.tensor([[[0.0, 3.0], [4.0, 0.0]]])
    >>> sharpness(0.5 * data, data)
    0.5
    """
    shapes = tuple(to_tensor(reconstructions).shape), tuple(to_tensor(data).shape)
    if shapes[0] != shapes[1]:
        raise ValueError(f"reconstructions: got shape {shapes[0]} for data of shape {shapes[1]}")
    edges = gradient_magnitude(data)
    if not edges:
        raise ValueError("data: all images are flat, so there is no sharpness to compare with")
    return gradient_magnitude(reconstructions) / edges


def _pixels(images: Values, name: str) -> Tensor:
    values = to_tensor(images)
    if values.dim() not in (3, 4) or 0 in values.shape or min(values.shape[-2:]) < 2:
        raise ValueError(
            f"{name}: got shape {tuple(values.shape)}; allowed are [N, C, H, W] and [N, H, W], sides from 2"
        )
    pixels = values.double() / (255 if values.dtype == torch.uint8 else 1)
    if not pixels.isfinite().all():
        raise ValueError(f"{name}: {int((~pixels.isfinite()).sum())} of {pixels.numel()} values are not finite")
    return pixels
