"""What a mixture model's clusters do while it is trained: the data of the GMVAE paper's figures 2d-f, 3 and 4."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from pyro_mixvae.metrics import clustering_accuracy
from pyro_mixvae.training.components import log_responsibilities


class ClusterWatch(Callback):
    """Look at held-out data at each epoch's end: hand it to ``fit(..., callbacks=[watch])``.

    The caller's and the training's random states are left alone.

    Args:
        x: data, [N, \\*event_shape].
        y: their labels, [N]; None: no accuracies.
        keep_codes: keep the posterior means of z as well, N x latent_dim numbers for each epoch.

    Attributes:
        c_prior: E KL(q(c | z, w) || 1/K) in nats, whatever its floor; one number for each epoch (figure 3).
        accuracy: most-confident clustering accuracy at each epoch (figure 4).
        codes: posterior means of z, [N, latent_dim] for each epoch (figure 2, d to f).
    """

    def __init__(self, x: Tensor, y: Tensor | None = None, keep_codes: bool = False) -> None:
        self.x, self.y, self.keep_codes = x, y, keep_codes
        self.c_prior: list[float] = []
        self.accuracy: list[float] = []
        self.codes: list[Tensor] = []

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        model: Any = module.model
        x = self.x.to(module.device)
        with torch.random.fork_rng(), torch.no_grad():
            one_draw = model.responsibilities(x, num_samples=1)
            negative_entropy = torch.xlogy(one_draw, one_draw).sum(-1).mean()
            self.c_prior.append(math.log(one_draw.shape[-1]) + negative_entropy.item())
            if self.y is not None:
                self.accuracy.append(clustering_accuracy(log_responsibilities(model, x).cpu(), self.y))
            if self.keep_codes:
                self.codes.append(model.encode(x)["z"].mean.cpu())
