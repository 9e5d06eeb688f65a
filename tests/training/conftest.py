"""Models whose training can be worked out by hand, and a recipe that takes a second."""

from __future__ import annotations

import signal

import pyro
import pyro.distributions as dist
import pytest
import torch
import yaml
from pyro.nn import PyroModule, pyro_method
from torch import nn

from pyro_mixvae.infer import KL, TraceDivergence_ELBO

TINY = """
description: three components on scikit-learn's digits, far too short
model:
  class: GMVAE
  latent_dim: 2
  num_components: 3
  style_dim: 2
  encoder: {kind: mlp, hidden_dims: [8]}
  decoder: {kind: mlp, hidden_dims: [8]}
  prior_network: {kind: mlp, hidden_dims: [8], activation: tanh}
objective:
  c_prior_floor: log K
  warmup: {epochs: 1, sites: [z]}
data:
  name: digits
  batch_size: 500
optimizer:
  name: adam
  lr: 0.01
trainer:
  max_epochs: 2
"""


class Toy(PyroModule):
    """x ~ N(loc, 1) and a latent z that x does not depend on: loss = |x - loc|^2/2 + shift^2/2 + constant.

    Nothing is sampled that the loss depends on, so that a training is a recursion which one can write down.
    """

    def __init__(self, dim: int = 2, shift: float = 0.0) -> None:
        super().__init__()
        self.loc = nn.Parameter(torch.zeros(dim))
        self.shift = nn.Parameter(torch.tensor(shift))

    @pyro_method
    def model(self, x, y=None):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(x.new_zeros(()), 1.0))
            pyro.sample("x", dist.Normal(self.loc, 1.0).to_event(1), obs=x)

    @pyro_method
    def guide(self, x, y=None):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(self.shift, 1.0))

    def objective(self):
        return TraceDivergence_ELBO({"z": KL()}, max_plate_nesting=1)


@pytest.fixture
def ctrl_c_heard():
    """Python's own handler, here and in new processes; pytest's and a shell's background processes ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


@pytest.fixture
def toy():
    """Makes a :class:`Toy`."""
    return Toy


@pytest.fixture
def sgd():
    """Makes an optimiser for ``fit``: plain gradient descent."""
    return lambda lr: lambda parameters: torch.optim.SGD(parameters, lr=lr)


@pytest.fixture
def tiny() -> dict:
    """The settings of a recipe that takes a second, to be changed at will."""
    return yaml.safe_load(TINY)


@pytest.fixture
def write_recipe(tmp_path):
    """Writes settings as a recipe file, and gives its path."""

    def write(settings: dict, name: str = "tiny") -> str:
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(settings, sort_keys=False))
        return str(path)

    return write
