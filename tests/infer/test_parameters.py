"""Parameters are found: by Pyro's SVI through its global store, and by torch optimisers with it on and off."""

from __future__ import annotations

import copy

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO

from pyro_mixvae.infer import TraceDivergence_ELBO
from pyro_mixvae.models import GMVAE
from pyro_mixvae.testing import assert_close_in_standard_errors
from tests.infer.pairs import Mixture


def small(**options) -> GMVAE:
    network = {"kind": "mlp", "hidden_dims": [6], "batch_norm": True}
    return GMVAE((4,), 2, 3, 2, encoder=network, decoder=network, prior_network=network, **options)


@pytest.fixture
def x():
    return torch.rand(10, 4)


@pytest.fixture(params=[False, True], ids=["global-store", "module-local"])
def parameter_mode(request):
    before = pyro.settings.get("module_local_params")
    pyro.settings.set(module_local_params=request.param)
    yield request.param
    pyro.settings.set(module_local_params=before)


def state(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def moved(model, before) -> bool:
    """Whether every parameter moved, or none did."""
    changed = [not torch.equal(p, before[name]) for name, p in model.named_parameters()]
    assert all(changed) or not any(changed), "some parameters moved and some did not"
    return all(changed)


@pytest.mark.parametrize("elbo", ["paper", "trace"])
def test_svi_moves_the_model_it_is_given_and_no_other(no_global_parameters, x, elbo):
    """SVI on A, then on B, then on a copy of A: each moves only itself."""
    first, second = small(enumerate_in="guide"), small()
    models = [first, second, copy.deepcopy(first)]
    for chosen in range(3):
        before = [state(model) for model in models]
        objective = models[chosen].objective() if elbo == "paper" else pyro.infer.TraceEnum_ELBO(max_plate_nesting=1)
        svi = SVI(models[chosen].model, models[chosen].guide, pyro.optim.Adam({"lr": 0.01}), objective)
        assert isinstance(svi.step(x), float)
        svi.step(x)
        assert [moved(model, old) for model, old in zip(models, before, strict=True)] == [i == chosen for i in range(3)]


def test_svi_lowers_the_loss(no_global_parameters, x):
    model = small()
    svi = SVI(model.model, model.guide, pyro.optim.Adam({"lr": 0.01}), model.objective())
    losses = [svi.step(x) for _ in range(60)]
    assert sum(losses[-10:]) < sum(losses[:10])
    assert svi.evaluate_loss(x) == pytest.approx(losses[-1], rel=0.5)


def test_torch_optimiser_in_either_mode(no_global_parameters, parameter_mode, x):
    """Two models of one class and a copy, each trained by its own optimiser, in either parameter mode."""
    first, second = small(), small()
    models = [first, second, copy.deepcopy(first)]
    for chosen in range(3):
        bound = models[chosen].objective()(models[chosen].model, models[chosen].guide)
        optimizer = torch.optim.Adam(bound.parameters(), lr=0.01)
        before = [state(model) for model in models]
        for _ in range(2):
            optimizer.zero_grad()
            bound(x).backward()
            optimizer.step()
        assert [moved(model, old) for model, old in zip(models, before, strict=True)] == [i == chosen for i in range(3)]


def test_bound_module_reaches_the_owner_of_its_methods(x):
    model = small()
    bound = model.objective()(model.model, model.guide)
    assert set(bound.parameters()) == set(model.parameters())
    assert len(list(bound.parameters())) == len(list(model.parameters()))
    bound.eval()
    assert not any(part.training for part in model.modules())
    bound.train()
    assert all(part.training for part in model.modules())
    bound.to(torch.float64)
    assert all(p.dtype == torch.float64 for p in model.parameters())
    assert bound(x.double()).dtype == torch.float64


def test_two_owners_modules_and_handlers(x):
    """Model and guide of two modules, a module itself, and handlers around a method: all are found."""
    model, other = small(), small()
    elbo = TraceDivergence_ELBO(max_plate_nesting=1)
    assert set(elbo(model.model, other.guide).parameters()) == {*model.parameters(), *other.parameters()}
    scaled = elbo(poutine.scale(model.model, 0.1), poutine.scale(poutine.mask(model.guide, mask=True), 0.1))
    assert set(scaled.parameters()) == set(model.parameters())
    assert torch.isfinite(scaled(x))
    module = torch.nn.Linear(2, 2)
    assert set(elbo(module, lambda x: None).parameters()) == set(module.parameters())
    assert not list(elbo(lambda x: None, lambda x: None).parameters())


def test_stock_elbo_with_the_models_own_parameters(parameter_mode, no_global_parameters, x):
    model = small(enumerate_in="model")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    before = state(model)
    pyro.infer.TraceEnum_ELBO(max_plate_nesting=1).differentiable_loss(model.model, model.guide, x).backward()
    optimizer.step()
    assert moved(model, before)


def test_same_loss_as_trace_elbo_without_enumeration(no_global_parameters):
    """The mixture pair with c drawn, not enumerated: both estimate one bound (400 runs each)."""
    pair = Mixture(how=None)
    args = pair.model, pair.guide, pair.x
    ours, pyros = (
        torch.tensor([elbo(max_plate_nesting=1).loss(*args) for _ in range(400)])
        for elbo in (TraceDivergence_ELBO, Trace_ELBO)
    )
    assert_close_in_standard_errors(ours, pyros.mean(), other_error=pyros.std() / 400**0.5)
