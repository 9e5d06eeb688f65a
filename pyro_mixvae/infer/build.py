"""Divergences by description, so that a model's configuration is JSON."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from pyro_mixvae.infer.closed_forms import CauchySchwarz
from pyro_mixvae.infer.site_divergence import KL, SiteDivergence
from pyro_mixvae.infer.whole_batch import MMD

#: What a model takes for a divergence: a name, a description such as ``{"name": "kl", "scale": 4.0}``, or the object.
DivergenceSpec = str | Mapping[str, Any] | SiteDivergence


def info_vae(alpha: float = 0.0, weight: float = 1000.0, **kernel: Any) -> SiteDivergence:
    r"""InfoVAE's :math:`(1 - \alpha) KL + (\alpha + \lambda - 1) MMD^2`.

    Args:
        alpha: :math:`\alpha \le 1`.
        weight: :math:`\lambda \ge 1 - \alpha`.
        kernel: what :class:`~pyro_mixvae.infer.MMD` takes.

    Raises:
        ValueError: for a weight below 0 of one of the two.

    Source: Zhao, Song, Ermon (2017), equation 6, the squared MMD as divergence.

    >>> info_vae()
    1 * KL() + 999 * MMD("imq")
    """
    if not alpha <= 1:
        raise ValueError(f"alpha: expected a number <= 1, got {alpha}")
    if not weight >= 1 - alpha:
        raise ValueError(f"weight: expected a number >= 1 - alpha = {1 - alpha:g}, got {weight}")
    return (1 - alpha) * KL() + (alpha + weight - 1) * MMD(**kernel)


DIVERGENCES: dict[str, Callable[..., SiteDivergence]] = {
    "kl": KL,
    "cauchy-schwarz": CauchySchwarz,
    "info-vae": info_vae,
}


def build_divergence(spec: DivergenceSpec) -> SiteDivergence:
    """The divergence that ``spec`` describes.

    Args:
        spec: ``"kl"``, ``"cauchy-schwarz"``, ``"info-vae"``; a mapping with ``"name"``, optionally ``"scale"`` (its
            weight) and the options of that divergence; or a :class:`SiteDivergence`.

    Raises:
        ValueError: for an unknown name or option; the message holds the nearest right name.

    >>> build_divergence({"name": "kl", "scale": 4.0})
    4 * KL()
    """
    if isinstance(spec, SiteDivergence):
        return spec
    options: dict[str, Any] = dict(spec) if isinstance(spec, Mapping) else {"name": spec}
    name = str(options.pop("name", None))
    if name not in DIVERGENCES:
        near = difflib.get_close_matches(name, DIVERGENCES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"divergence: expected one of {', '.join(DIVERGENCES)}, got {name!r}{hint}")
    scale = options.pop("scale", None)
    try:
        divergence = DIVERGENCES[name](**options)
        return divergence if scale is None else scale * divergence
    except (TypeError, ValueError) as error:
        raise ValueError(f"divergence: {error}") from error
