"""One small model of each kind, on data [B, 1, 8, 8] in [0, 1]: for promises that every model keeps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pyro_mixvae.models import CSRAE, GMVAE, MVAE, VAE, FactorialMixtureVAE, MixturePosteriorVAE, MixtureVAE

SHAPE = (1, 8, 8)
#: As many data as a model with variables of all data is told of.
NUM_DATA = 24
MLP = {"kind": "mlp", "hidden_dims": [8], "batch_norm": True}
PLAIN = {"kind": "mlp", "hidden_dims": [8]}
RESNET = {"channels": 4, "num_identity": 1}


def networks(**options):
    return {"latent_dim": 2, "encoder": MLP, "decoder": MLP, **options}


def mixture_posterior(**options) -> MixturePosteriorVAE:
    return MixturePosteriorVAE(
        SHAPE,
        2,
        {"kind": "resnet-encoder", **RESNET},
        {"kind": "resnet-decoder", **RESNET},
        {"kind": "patchgan", "channels": 4, "num_strided": 1},
        **options,
    )


MAKE: dict[str, Callable[[], MixtureVAE]] = {
    "VAE": lambda: VAE(SHAPE, **networks()),
    "VampPrior": lambda: VAE(SHAPE, **networks(prior="vamp", num_components=3, encoder=PLAIN, decoder=PLAIN)),
    "CSRAE": lambda: CSRAE(SHAPE, **networks()),
    "Mixture-CSRAE": lambda: CSRAE(SHAPE, **networks(prior="gaussian-mixture", num_components=3)),
    "GMVAE": lambda: GMVAE(SHAPE, **networks(num_components=3, style_dim=2, prior_network=PLAIN)),
    "Factorial": lambda: FactorialMixtureVAE(SHAPE, NUM_DATA, **networks(num_components=[2, 3])),
    "MVAE": lambda: MVAE(SHAPE, **networks(num_components=3, encoder=PLAIN, decoder=PLAIN, mixed_shape=(6,))),
    "MVAE-GS": lambda: MVAE(
        SHAPE, **networks(num_components=3, encoder=PLAIN, decoder=PLAIN, mixed_shape=(6,), dropout="gumbel")
    ),
    "MPVAE": mixture_posterior,
    "MPVAE, no adversary": lambda: mixture_posterior(adversarial=False),
}
NAMES = list(MAKE)


def every(name: str, seed: int = 0) -> MixtureVAE:
    """The model of that name, the same for the same seed; the caller's random state is left alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return MAKE[name]()


def some_data(num_data: int = NUM_DATA, seed: int = 0) -> Tensor:
    """Grey values, [B, 1, 8, 8]."""
    return torch.rand(num_data, *SHAPE, generator=torch.Generator().manual_seed(seed))
