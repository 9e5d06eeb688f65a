"""What is watched of a GMVAE's gradients and clusters."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks.gmvae_clipping import NAME, Watch, table
from benchmarks.record import HERE, RESULTS
from pyro_mixvae.models import GMVAE
from pyro_mixvae.training import fit


def watched(clip):
    torch.manual_seed(0)
    network = {"kind": "mlp", "hidden_dims": [8]}
    model = GMVAE((4,), 2, 3, 2, encoder=network, decoder=network, prior_network=network)
    x, y = torch.rand(20, 4), torch.arange(20) % 2
    watch = Watch(model, x, y)
    fit(model, x, max_epochs=2, batch_size=10, clip=clip, seed=0, progress=False, callbacks=[watch])
    return watch.epochs


def test_norms_are_those_before_clipping():
    free, clipped = watched(None), watched(1e-3)
    assert len(free) == len(clipped) == 2
    assert clipped[0]["largest norm"] == pytest.approx(free[0]["largest norm"], rel=0.2)
    assert clipped[0]["median norm"] > 1e-2
    assert 1 <= free[0]["used clusters"] <= 3


def test_the_page_is_of_its_results():
    measured = json.loads((RESULTS / f"{NAME}.json").read_text(encoding="utf-8"))["measured"]
    assert table(measured) in (HERE / f"{NAME}.md").read_text(encoding="utf-8")
