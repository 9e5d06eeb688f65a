"""Parameters are stated to those who listen, and to nobody else."""

from __future__ import annotations

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI

from pyro_mixvae.infer.param_statements import param_statements_are_needless, without_param_statements
from pyro_mixvae.models import GMVAE


def test_torch_training_leaves_pyros_store_empty(no_global_parameters: None) -> None:
    model, x = GMVAE((6,), 3, 5, 2), torch.rand(4, 6)
    model.objective()(model.model, model.guide)(x).backward()
    assert not list(pyro.get_param_store().keys())
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_listeners_hear_all_parameters(no_global_parameters: None) -> None:
    model, x = GMVAE((6,), 3, 5, 2), torch.rand(4, 6)
    objective = model.objective()(model.model, model.guide)
    with poutine.trace(param_only=True) as heard:
        objective(x)
    assert {id(node["value"].unconstrained()) for node in heard.trace.nodes.values()} == {
        id(parameter) for parameter in model.parameters()
    }
    before = [parameter.clone() for parameter in model.parameters()]
    SVI(model.model, model.guide, pyro.optim.Adam({"lr": 0.1}), model.objective()).step(x)
    assert all(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_frozen_networks_are_no_reason_to_warn() -> None:
    model = GMVAE((6,), 3, 5, 2)
    model.encoder.requires_grad_(False)
    model.objective()(model.model, model.guide)(torch.rand(4, 6)).backward()
    assert model.encoder.layers[0].weight.grad is None


def test_the_mark_is_taken_back_on_errors() -> None:
    with pytest.raises(ZeroDivisionError), without_param_statements():
        assert param_statements_are_needless()
        raise ZeroDivisionError
    assert not param_statements_are_needless()
