"""The first of two phases: the autoencoder alone, before it hears of labels."""

from __future__ import annotations

from typing import Any

import pyro
import torch
from pyro.nn import PyroModule, pyro_method
from torch import Tensor

from pyro_mixvae.distributions.precision import as_precise
from pyro_mixvae.infer import TraceDivergence_ELBO
from pyro_mixvae.nn import diagonal_normal
from pyro_mixvae.nn.two_inputs import side_by_side


class UnlabelledPhase(PyroModule):
    """The autoencoder in another model's networks and with its prior, zeros in place of what they are shown of y.

    The classifier and the labels' network are not part of it.

    Args:
        of: the semi-supervised model whose networks are trained.

    Source: Tran, Pantic, Deisenroth, appendix B.2, after Kingma et al. (2014).
    """

    def __init__(self, of: Any) -> None:
        super().__init__(name=f"unlabelled_phase_of_{of._pyro_name}")
        self.encoder, self.posterior, self.decoder = of.encoder, of.posterior, of.decoder
        self.prior, self.observation = of.prior, of.observation
        self.label_dim, self._objective, self.term_names = of.label_dim, of.objective_without_labels(), of.term_names

    @pyro_method
    def model(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """p(z) p(x | z) for data [B, \\*event_shape]; labels are not used."""
        prior = self.prior(self._encode) if getattr(self.prior, "needs_encoder", False) else self.prior()
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", prior)
            raw = side_by_side(self.decoder, z, self._nothing(x)).to(z.dtype)
            return pyro.sample("x", self.observation(raw), obs=x)

    @pyro_method
    def guide(self, x: Tensor, y: Tensor | None = None) -> None:
        """q(z | x)."""
        posterior = self._encode(x)
        with pyro.plate("data", len(x)):
            pyro.sample("z", posterior)

    def check(self, x: Tensor, y: Tensor | None = None, num_classes: int | None = None) -> None:
        """Refuse data that the model cannot be trained on.

        Raises:
            ValueError: for those.
        """
        self.observation.check(x)

    def objective(self) -> TraceDivergence_ELBO:
        """The semi-supervised model's objective without its labels."""
        return self._objective

    def _encode(self, x: Tensor) -> pyro.distributions.Independent:
        features = self.encoder(x)
        return diagonal_normal(as_precise(side_by_side(self.posterior, features, self._nothing(features)), x))

    def _nothing(self, like: Tensor) -> Tensor:
        return torch.zeros(self.label_dim, dtype=like.dtype, device=like.device)
