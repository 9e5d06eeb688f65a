"""What is looked at during a training: the numbers are the model's own, and looking changes nothing."""

from __future__ import annotations

import math

import pytest
import torch

from pyro_mixvae.models import GMVAE
from pyro_mixvae.training import fit
from pyro_mixvae.training.watch import ClusterWatch


def model() -> GMVAE:
    torch.manual_seed(0)
    network = {"kind": "mlp", "hidden_dims": [8]}
    return GMVAE((3,), 2, num_components=4, style_dim=2, likelihood="normal", encoder=network, decoder=network)


def test_one_entry_for_each_epoch_and_the_last_is_the_trained_models() -> None:
    x, y = torch.randn(60, 3), torch.arange(60) % 4
    watch = ClusterWatch(x, y, keep_codes=True)
    trained = fit(model(), x, max_epochs=3, seed=1, progress=False, callbacks=[watch]).model
    assert len(watch.c_prior) == len(watch.accuracy) == len(watch.codes) == 3
    assert all(0 <= value <= math.log(4) + 1e-6 for value in watch.c_prior)
    with torch.no_grad():
        torch.testing.assert_close(watch.codes[-1], trained.encode(x)["z"].mean)
    draws = torch.stack([trained.responsibilities(x, num_samples=1) for _ in range(200)])
    kl = (math.log(4) + torch.xlogy(draws, draws).sum(-1)).mean(1)
    assert watch.c_prior[-1] == pytest.approx(kl.mean().item(), abs=4.5 * kl.std().item())


def test_watching_does_not_change_the_training() -> None:
    x = torch.randn(60, 3)
    alone = fit(model(), x, max_epochs=2, seed=1, progress=False)
    watched = fit(model(), x, max_epochs=2, seed=1, progress=False, callbacks=[ClusterWatch(x)])
    assert alone.history == watched.history
