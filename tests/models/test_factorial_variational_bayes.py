"""With known codes, full batches and rho = 1, a factorial mixture is variational Bayes for Gaussian mixtures."""

from __future__ import annotations

import pyro
import pytest
import torch
from torch import Tensor, nn

from pyro_mixvae.infer import ConjugateSVI
from pyro_mixvae.models import FactorialMixtureVAE
from pyro_mixvae.nn import heads
from tests.infer.bayesian_mixture import ScikitLearns, some_responsibilities, start_posterior, three_clusters

pytestmark = pytest.mark.usefixtures("float64", "no_global_parameters", "known_codes")

#: Standard deviation of q(z | x).
SCALE = 1e-6


@pytest.fixture
def known_codes(monkeypatch):
    monkeypatch.setattr(heads, "positive_scale", lambda raw: torch.full_like(raw, SCALE))


class Itself(nn.Module):
    """The code's mean is the datum."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, x], -1)


class Blind(nn.Module):
    """A decoder that does not look at the code, so that the bound has no noise."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.zeros(*z.shape[:-1], 1, z.shape[-1])


def mixture_of(x: Tensor, num_components: list[int], **hyperprior: float) -> FactorialMixtureVAE:
    dim = x.shape[1] // len(num_components)
    return FactorialMixtureVAE(
        (x.shape[1],),
        num_data=len(x),
        latent_dim=dim,
        num_components=num_components,
        likelihood={"name": "normal", "scale": 1.0},
        encoder=Itself(),
        decoder=Blind(),
        hyperprior=hyperprior,
    )


def losses(model: FactorialMixtureVAE, x: Tensor, num_steps: int) -> Tensor:
    optimizer = pyro.optim.Adam({"lr": 1e-3})
    svi = ConjugateSVI(model.model, model.guide, optimizer, model.objective(), schedule=lambda t: 1.0)
    return torch.tensor([svi.step(x) for _ in range(num_steps)])


@pytest.mark.slow
def test_the_bound_never_decreases():
    """Two factors at once, of 4 and 6 components, with the paper's hyperprior; 200 steps."""
    x = torch.cat([three_clusters(150, 2), three_clusters(150, 2)[torch.randperm(150)]], -1)
    model = mixture_of(x, [4, 6])
    for factor, (part, size) in enumerate(zip(x.split(2, -1), (4, 6), strict=True)):
        weights, components = model.weights[factor], model.components[factor]
        start_posterior(weights, components, part, some_responsibilities(150, size))
    found = losses(model, x, 200)
    assert found[0] > found[-1] + 1
    # rounding: 1e-12 of the loss
    assert (found.diff() <= 1e-12 * found.abs().max()).all()


@pytest.mark.parametrize("num_steps", [1, 50])
def test_it_is_scikit_learns(num_steps):
    x = three_clusters(300, 1)
    theirs = ScikitLearns(x, num_steps)
    model = mixture_of(
        x,
        [3],
        weight_concentration=theirs.WEIGHT,
        loc=theirs.MEAN,
        mean_precision=theirs.MEAN_PRECISION,
        concentration=theirs.DEGREES_OF_FREEDOM / 2,
        rate=theirs.COVARIANCE / 2,
    )
    start_posterior(model.weights[0], model.components[0], x, theirs.start)
    losses(model, x, num_steps)
    theirs.assert_is(model.weights[0], model.components[0], model.responsibilities(x)[0])
