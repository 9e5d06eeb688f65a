"""The classifier: the likelihood of the labels that there are, and the semi-supervised model's q(y | x) by itself."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

import pyro_mixvae
from pyro_mixvae.models import Classifier
from pyro_mixvae.training import fit
from tests.models.semi_supervised_by_hand import log_q, tiny

NETWORK = {"kind": "mlp", "hidden_dims": [8]}


def classifier(**options) -> Classifier:
    settings = {"num_classes": 3, "encoder": NETWORK, "feature_dim": 5, "classifier": NETWORK}
    return Classifier((6,), **(settings | options))


def test_loss_is_cross_entropy_of_known_labels(float64) -> None:
    model, x, y = classifier(), torch.rand(5, 6), torch.tensor([2, -1, 0, 1, -1])
    loss = model.objective()(model.model, model.guide)(x, y)
    logits = model.classifier(model.encoder(x))
    torch.testing.assert_close(loss, cross_entropy(logits, y, ignore_index=-1, reduction="sum"))


def test_loss_of_answers(float64) -> None:
    model, x = classifier(num_classes=None, num_labels=2), torch.rand(3, 6)
    y = torch.tensor([[1, 0], [-1, 1], [-1, -1]])
    loss = model.objective()(model.model, model.guide)(x, y)
    logits = model.classifier(model.encoder(x))
    every = binary_cross_entropy_with_logits(logits, y.clamp(min=0).to(x), reduction="none")
    torch.testing.assert_close(loss, every[y >= 0].sum())
    torch.testing.assert_close(model.predict_proba(x), logits.sigmoid())


def test_it_is_the_semi_supervised_models_classifier() -> None:
    whole, alone, x = tiny(), classifier(), torch.rand(5, 6)
    alone.encoder.load_state_dict(whole.encoder.state_dict())
    alone.classifier.load_state_dict(whole.classifier.state_dict())
    torch.testing.assert_close(alone.predict_proba(x).log(), log_q(whole, x))


def test_training_files_and_copies(tmp_path) -> None:
    torch.manual_seed(0)
    x = torch.rand(60, 6)
    model, y = classifier(), (x[:, 0] > 0.5).long()
    fit(model, (x, y), max_epochs=40, batch_size=20, lr=0.02, seed=0, progress=False)
    assert (model.predict_proba(x).argmax(-1) == y).float().mean() > 0.9
    loaded = pyro_mixvae.load(pyro_mixvae.save(model, tmp_path))
    torch.testing.assert_close(loaded.features(x), model.features(x))
    assert copy.deepcopy(model)._pyro_name != model._pyro_name


def test_bad_input() -> None:
    model, x = classifier(), torch.rand(5, 6)
    with pytest.raises(ValueError, match=r"x: expected shape \[B, 6\], got \[5, 4\]"):
        model.predict_proba(torch.rand(5, 4))
    with pytest.raises(ValueError, match=r"y: expected labels in -1\.\.2, got labels in 3\.\.3"):
        model.check(x, torch.full((5,), 3))
    with pytest.raises(ValueError, match="y: expected labels for some of the training data, got no labels"):
        fit(model, x, max_epochs=1, progress=False)
    with pytest.raises(ValueError, match="expected either num_classes or num_labels"):
        classifier(num_labels=2)
