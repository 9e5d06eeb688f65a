"""Priors by description, so that a model's configuration is JSON."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from pyro_mixvae.priors.gaussian_mixture import GaussianMixturePrior
from pyro_mixvae.priors.standard_normal import StandardNormal
from pyro_mixvae.priors.vamp import VampPrior

#: What a model takes for a prior: a name, a description such as ``{"name": "vamp", "learn_weights": True}``, a module.
PriorSpec = str | Mapping[str, Any] | nn.Module

NAMES = ("standard-normal", "gaussian-mixture", "vamp")


def build_prior(
    spec: PriorSpec,
    dim: int,
    event_shape: Sequence[int],
    num_components: int | None = None,
    low: float = 0.0,
    high: float = 1.0,
) -> nn.Module:
    """The prior that ``spec`` describes.

    Args:
        spec: ``"standard-normal"``, ``"gaussian-mixture"``, ``"vamp"``, a mapping with ``"name"`` and the options of
            :class:`GaussianMixturePrior` or :class:`VampPrior`, or a user's own module.
        dim: dimension of z.
        event_shape: shape of one datum.
        num_components: K of a mixture, where the mapping does not hold it.
        low, high: the data's range.

    Raises:
        ValueError: for an unknown name or option, a mixture without a number of components, two different ones, or
            one for a prior that is no mixture; and for a module of this package whose draws are not of dimension
            ``dim``, or whose pseudo-inputs are not of shape ``event_shape``.
    """
    if isinstance(spec, nn.Module):
        if num_components not in (None, getattr(spec, "num_components", None)):
            raise ValueError(f"num_components: {num_components}, but the prior's own is another; leave it out")
        _check_shape(spec, dim, event_shape)
        return spec
    options: dict[str, Any] = dict(spec) if isinstance(spec, Mapping) else {"name": spec}
    name = str(options.pop("name", None))
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"prior: expected one of {', '.join(NAMES)}, got {name!r}{hint}")
    own = options.pop("num_components", None)
    if None not in (own, num_components) and own != num_components:
        raise ValueError(f"num_components: {num_components}, but {own} in prior; give one of the two")
    size = num_components if own is None else own
    try:
        if name == "standard-normal":
            if size is not None:
                raise ValueError(f"num_components: a standard normal has no components, got {size}")
            return StandardNormal(dim, **options)
        if size is None:
            raise ValueError(f"num_components: missing; {name} needs it")
        if name == "gaussian-mixture":
            return GaussianMixturePrior(size, dim, **options)
        return VampPrior(size, event_shape, low, high, **options)
    except (TypeError, ValueError) as error:
        raise ValueError(f"prior: {error}") from error


def _check_shape(prior: nn.Module, dim: int, event_shape: Sequence[int]) -> None:
    """Refuse a prior that does not fit where the model is made.

    By what it says of itself: a user's module is not called here, since a PyroModule that has no name yet would leave
    its parameters in the global store.
    """
    if isinstance(prior, VampPrior):
        if prior.event_shape != tuple(event_shape):
            got = list(prior.event_shape)
            raise ValueError(f"prior: expected pseudo-inputs of the data's shape {list(event_shape)}, got {got}")
    elif isinstance(prior, GaussianMixturePrior | StandardNormal) and prior.dim != dim:
        raise ValueError(f"prior: expected draws of {dim} dimensions (latent_dim), got {prior.dim}")
