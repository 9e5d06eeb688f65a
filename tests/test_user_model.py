"""A user's own VAE with a Gaussian mixture as prior, trained by plain Pyro: the parts stand on their own."""

import pyro
import pyro.distributions as dist
import torch
from torch import nn

from pyro_mixvae.data import load
from pyro_mixvae.infer import CauchySchwarz, TraceDivergence_ELBO
from pyro_mixvae.nn import MLP, diagonal_normal
from pyro_mixvae.priors import GaussianMixturePrior


class MyVAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.prior = GaussianMixturePrior(10, dim=4)
        self.encoder, self.decoder = MLP((64,), (8,), hidden_dims=[50]), MLP((4,), (64,), hidden_dims=[50])

    def model(self, x):
        pyro.module("my_vae", self)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", self.prior())
            pyro.sample("x", dist.Bernoulli(logits=self.decoder(z), validate_args=False).to_event(1), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", diagonal_normal(self.encoder(x)))


def test_a_user_s_own_model(no_global_parameters):
    mine, x = MyVAE(), load("digits").train.values().flatten(1)[:500]
    objective = TraceDivergence_ELBO({"z": CauchySchwarz()})
    svi = pyro.infer.SVI(mine.model, mine.guide, pyro.optim.Adam({"lr": 3e-3}), objective)
    start = mine.prior.locs.detach().clone()
    losses = [svi.step(x) / len(x) for _ in range(60)]
    assert losses[-1] < losses[0] - 8  # nats per datum
    assert not torch.equal(mine.prior.locs, start)
