"""Which parameters need a gradient while one of several updates is made."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pyro_mixvae.infer import Update
from pyro_mixvae.infer.update import only_moving


@pytest.fixture
def updates():
    first, second, shared = (nn.Parameter(torch.ones(())) for _ in range(3))
    second.requires_grad_(False)
    return [Update("first", [first, shared], lambda b: b[0]), Update("second", [second, shared], lambda b: (b[0], {}))]


def test_only_its_own_parameters_need_a_gradient(updates):
    first, shared = updates[0].parameters
    second, _ = updates[1].parameters
    with only_moving(updates[0], updates):
        assert (first.requires_grad, second.requires_grad, shared.requires_grad) == (True, False, True)
    with only_moving(updates[1], updates):
        assert (first.requires_grad, second.requires_grad, shared.requires_grad) == (False, True, True)
    assert (first.requires_grad, second.requires_grad, shared.requires_grad) == (True, False, True)


def test_as_before_after_an_error(updates):
    with pytest.raises(RuntimeError, match="stopped"), only_moving(updates[1], updates):
        raise RuntimeError("stopped")
    assert [p.requires_grad for p in updates[0].parameters] == [True, True]
    assert [p.requires_grad for p in updates[1].parameters] == [False, True]


def test_a_single_update_leaves_frozen_parameters_frozen(updates):
    frozen = updates[1].parameters[0]
    with only_moving(updates[1], updates[1:]):
        assert not frozen.requires_grad


def test_a_loss_with_or_without_terms(updates):
    loss = torch.ones(())
    for update in updates:
        assert update.loss_and_terms((loss,)) == (loss, {})
