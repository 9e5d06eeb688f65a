"""The factorial mixture's networks with a plain prior, to begin with."""

from __future__ import annotations

from typing import Any

import pyro
import torch
from pyro.nn import PyroModule, pyro_method
from torch import Tensor

from pyro_mixvae.infer import KL, TraceDivergence_ELBO
from pyro_mixvae.priors import StandardNormal


class Pretraining(PyroModule):
    """A VAE with the networks of another model and the prior N(0, I) over its whole code.

    Args:
        of: the factorial mixture whose networks are trained.
        kl_weight: of the KL to N(0, I); 0 makes it an autoencoder.

    Source: Paquet, Ghaisas, Tieleman, section 2.4, last paragraph.
    """

    def __init__(self, of: Any, kl_weight: float) -> None:
        super().__init__(name=f"pretraining_of_{of._pyro_name}")
        self.of, self.kl_weight = of, kl_weight
        self.plain_prior = StandardNormal(of.num_factors * of.latent_dim).to(next(of.parameters()))

    @pyro_method
    def model(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """p(z) p(x | z) for data [B, \\*event_shape]; labels are not used."""
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", self.plain_prior())
            return pyro.sample("x", self.of.decode(z), obs=x)

    @pyro_method
    def guide(self, x: Tensor, y: Tensor | None = None) -> None:
        """q(z | x), all factors together."""
        q = self.of.encode(x).values()
        loc, scale = (torch.cat(parts, dim=-1) for parts in ([p.mean for p in q], [p.stddev for p in q]))
        with pyro.plate("data", len(x)):
            pyro.sample("z", pyro.distributions.Normal(loc, scale).to_event(1))

    def objective(self) -> TraceDivergence_ELBO:
        """Reconstruction less the weighted KL."""
        return TraceDivergence_ELBO({"z": self.kl_weight * KL()}, max_plate_nesting=1)
