"""Promises that every model keeps: alone and beside others, copied, in double precision, in threads, in both modes."""

from __future__ import annotations

import copy
import os
import pickle
import random
import threading
import warnings
from collections.abc import Iterator

import numpy as np
import pyro
import pytest
import torch
from pyro.infer import SVI
from pyro.nn import PyroModule

import pyro_mixvae
from pyro_mixvae.models import VAE
from pyro_mixvae.models import __all__ as MODELS
from pyro_mixvae.training import fit
from tests.models.every_model import NAMES, NUM_DATA, every, some_data

QUIET = {"seed": 0, "progress": False, "accelerator": "cpu", "batch_size": NUM_DATA // 2}
#: The base of all, the one that takes two kinds of batches, and a network for measurements.
NOT_HERE = {"MixtureVAE", "SemiSupervisedCSRAE", "Classifier"}


def state(model) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def same(first, second) -> bool:
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


def parameters(model) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def means(codes) -> list[torch.Tensor]:
    return [part.mean for part in (codes.values() if isinstance(codes, dict) else [codes])]


@pytest.fixture(params=[False, True], ids=["global-store", "module-local"])
def parameter_mode(request) -> Iterator[bool]:
    before = pyro.settings.get("module_local_params")
    pyro.settings.set(module_local_params=request.param)
    yield request.param
    pyro.settings.set(module_local_params=before)


def test_every_model_is_here():
    assert {type(every(name)).__name__ for name in NAMES} == set(MODELS) - NOT_HERE


# --- both parameter modes, several models ----------------------------------------------------------------------------


@pytest.mark.usefixtures("no_global_parameters")
@pytest.mark.parametrize("name", NAMES)
def test_training_is_the_same_in_both_parameter_modes(name):
    """And each of two models of one class moves itself alone."""
    ends, before = [], pyro.settings.get("module_local_params")
    for local in (False, True):
        pyro.settings.set(module_local_params=local)
        try:
            model, other = every(name), every(name)
            untouched = state(other)
            fit(model, some_data(), max_epochs=1, **QUIET)
            assert same(state(other), untouched)
            ends.append(state(model))
        finally:
            pyro.settings.set(module_local_params=before)
    assert same(*ends)
    assert not same(ends[0], untouched)


@pytest.mark.usefixtures("no_global_parameters", "parameter_mode")
@pytest.mark.parametrize("name", NAMES)
def test_two_models_taking_turns_end_where_each_ends_alone(name):
    """Steps of torch optimisers, the noise of each step set by its number."""

    def step(model, bound, optimizer, number):
        torch.manual_seed(number)
        optimizer.zero_grad()
        bound(some_data(8, seed=number)).backward()
        optimizer.step()

    def start(seed):
        model = every(name, seed)
        bound = model.objective()(model.model, model.guide)
        moving = [parameter for parameter in bound.parameters() if parameter.requires_grad]
        return model, bound, torch.optim.Adam(moving, lr=0.01)

    alone = [start(seed) for seed in (1, 2)]
    for trained in alone:
        for number in range(3):
            step(*trained, number)
    together = [start(seed) for seed in (1, 2)]
    for number in range(3):
        for trained in together:
            step(*trained, number)
    for (first, *_), (second, *_) in zip(alone, together, strict=True):
        assert same(state(first), state(second))


@pytest.mark.usefixtures("no_global_parameters")
@pytest.mark.parametrize("name", NAMES)
def test_svi_through_the_global_store_in_turns(name):
    """With the switch off, as stock SVI needs it: a model, another, and two kinds of copy of the first."""
    first = every(name)
    models = [first, every(name, 1), copy.deepcopy(first), pickle.loads(pickle.dumps(first))]
    steps = [SVI(model.model, model.guide, pyro.optim.Adam({"lr": 0.01}), model.objective()) for model in models]
    for chosen in (0, 1, 2, 3, 0, 3, 2, 1):
        before = [parameters(model) for model in models]
        steps[chosen].step(some_data(8))
        moved = [not same(parameters(model), old) for model, old in zip(models, before, strict=True)]
        assert moved == [number == chosen for number in range(4)]


# --- copies and precision --------------------------------------------------------------------------------------------


class OwnDecoder(PyroModule):
    """A part that Pyro names after the model."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = PyroModule[torch.nn.Linear](2, 16)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.layer(z).unflatten(-1, (2, 8))


@pytest.mark.usefixtures("no_global_parameters", "parameter_mode")
def test_copies_of_a_model_with_pyro_s_parts_that_has_run():
    x = torch.rand(6, 8)
    network = {"kind": "mlp", "hidden_dims": [4]}
    model = VAE((8,), latent_dim=2, likelihood="normal", encoder=network, decoder=OwnDecoder())
    fit(model, x, max_epochs=1, batch_size=6, seed=0, progress=False)
    model.model(x)
    name = model.decoder._pyro_name
    view = copy.copy(model)
    assert view.decoder is model.decoder
    copies = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    for other in copies:
        assert same(state(other), state(model))
        other.model(x)
    assert model.decoder._pyro_name == name
    assert len({each.decoder._pyro_name for each in (model, *copies)}) == 3


@pytest.mark.parametrize("name", NAMES)
def test_copies_are_equal_and_apart(name):
    model, x = every(name), some_data()
    fit(model, x, max_epochs=1, **QUIET)
    clone, before = copy.deepcopy(model), state(model)
    assert same(state(clone), before)
    assert not clone.training
    for mean, other in zip(means(model.encode(x)), means(clone.encode(x)), strict=True):
        assert torch.equal(mean, other)
    fit(clone, x, max_epochs=1, **QUIET)
    assert same(state(model), before)
    assert not same(state(clone), before)
    assert clone.config == model.config


@pytest.mark.parametrize("name", NAMES)
def test_double_precision(name, tmp_path):
    """Everything stays in it, and agrees with single precision to its digits."""
    single, x = every(name).eval(), some_data()
    double = copy.deepcopy(single).double()
    for mean, other in zip(means(single.encode(x)), means(double.encode(x.double())), strict=True):
        assert other.dtype == torch.float64
        torch.testing.assert_close(mean.double(), other, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(single.reconstruct(x).double(), double.reconstruct(x.double()), rtol=1e-3, atol=1e-4)
    assert all(term.dtype == torch.float64 for term in double.terms(x.double()).values())
    assert double.sample(2).dtype == torch.float64
    assert double.log_likelihood(x[:2].double(), 3).dtype == torch.float64
    fit(double, x, max_epochs=1, **QUIET)
    assert {value.dtype for value in double.parameters()} == {torch.float64}
    loaded = pyro_mixvae.load(pyro_mixvae.save(double, tmp_path))
    assert same(state(loaded), state(double))


# --- threads ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["GMVAE", *(pytest.param(n, marks=pytest.mark.slow) for n in NAMES if n != "GMVAE")])
def test_one_model_is_used_while_another_is_trained(name):
    """In a thread; what is drawn and encoded meanwhile is what it always is."""
    used, trained, x = every(name).eval(), every(name, 1), some_data()
    before, expected, codes = state(used), used.reconstruct(x), means(used.encode(x))
    start, found, done = state(trained), [], threading.Event()

    def train():
        try:
            found.append(fit(trained, x, max_epochs=40, **QUIET))
        except BaseException as error:
            found.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=train)
    thread.start()
    rounds = 0
    while not done.is_set() or not rounds:
        with torch.no_grad():
            now = means(used.encode(x))
            assert all(torch.equal(mean, code) for mean, code in zip(now, codes, strict=True))
            assert torch.equal(used.reconstruct(x), expected)
            samples = used.sample(5)
        assert samples.shape == (5, *used.event_shape)
        assert samples.isfinite().all()
        assert not used.training
        rounds += 1
    thread.join()
    assert not isinstance(found[0], BaseException), found[0]
    assert same(state(used), before)
    assert not same(state(trained), start)
    losses = [next(value for key, value in row.items() if key.startswith("train/")) for row in found[0].history]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


# --- nothing is left behind ------------------------------------------------------------------------------------------


def surroundings() -> dict[str, object]:
    """Everything global that a library might change."""
    return {
        "torch's random state": torch.get_rng_state().tolist(),
        "numpy's": str(np.random.get_state()),  # noqa: NPY002
        "python's": random.getstate(),
        "parameter store": sorted(pyro.get_param_store().keys()),
        "pyro's settings": dict(pyro.settings.get()),
        "dtype": torch.get_default_dtype(),
        "device": str(torch.get_default_device()),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "precision": torch.get_float32_matmul_precision(),
        "threads": torch.get_num_threads(),
        "validation": torch.distributions.Distribution._validate_args,
        "warnings": list(warnings.filters),
        "environment": dict(os.environ),
        "files": os.listdir(),
    }


@pytest.mark.usefixtures("no_global_parameters")
@pytest.mark.parametrize("name", NAMES)
def test_nothing_global_is_left_behind(name, tmp_path, monkeypatch):
    """By making, saving, loading, training; and nothing but the random state is moved by what draws."""
    monkeypatch.chdir(tmp_path)
    pyro.param("the caller's", torch.ones(()))
    x, folder = some_data(), tmp_path / "model"
    folder.mkdir()
    before = surroundings()
    model = every(name)
    pyro_mixvae.save(model, folder)
    model = pyro_mixvae.load(folder)
    copy.deepcopy(model)
    fit(model, x, max_epochs=1, **QUIET)
    after = surroundings()
    for part, value in before.items():
        assert after[part] == value, part
    model.terms(x)
    model.sample(2)
    model.reconstruct(x)
    model.encode(x)
    model.log_likelihood(x[:2], 2)
    after = surroundings()
    for part, value in before.items():
        assert after[part] == value or part == "torch's random state", part
