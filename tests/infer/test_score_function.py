"""Guide sites that cannot be reparameterised keep their score function beside a closed-form divergence."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from unittest import mock

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.distributions.testing.fakes import NonreparameterizedNormal
from torch import nn

from pyro_mixvae.infer import TraceDivergence_ELBO
from pyro_mixvae.testing import assert_close_in_standard_errors
from tests.infer.pairs import LinearGaussian, gradients, normal_log_prob

pytestmark = pytest.mark.usefixtures("float64")


class Switches(nn.Module):
    """One global switch g and a switch s for each of the data, none enumerated; x ~ N(locs[g, s], 0.7^2)."""

    def __init__(self) -> None:
        super().__init__()
        self.locs = nn.Parameter(torch.tensor([[-1.0, 0.5], [0.2, 2.0]]))
        self.prior = nn.Parameter(torch.tensor([0.4, -0.3]))
        self.q_g = nn.Parameter(torch.tensor(0.3))
        self.q_s = nn.Parameter(torch.tensor([0.1, -0.8, 0.6]))
        self.x = torch.tensor([-0.5, 0.4, 1.5])

    def model(self, x):
        g = pyro.sample("g", dist.Bernoulli(logits=self.prior[0]))
        with pyro.plate("data", len(x)):
            s = pyro.sample("s", dist.Bernoulli(logits=self.prior[1]))
            pyro.sample("x", dist.Normal(self.locs[g.long(), s.long()], 0.7), obs=x)

    def guide(self, x):
        g = pyro.sample("g", dist.Bernoulli(logits=self.q_g))
        with pyro.plate("data", len(x)):
            pyro.sample("s", dist.Bernoulli(logits=self.q_s + g))

    def exact_loss(self):
        """The negative ELBO summed over all values of g and s."""
        q_g, p_g, p_s = self.q_g.sigmoid(), self.prior[0].sigmoid(), self.prior[1].sigmoid()
        loss = 0.0
        for g in (0, 1):
            w_g = q_g if g else 1 - q_g
            loss = loss + w_g * torch.log(w_g / (p_g if g else 1 - p_g))
            q_s = (self.q_s + g).sigmoid()
            for s in (0, 1):
                w_s = q_s if s else 1 - q_s
                cost = torch.log(w_s / (p_s if s else 1 - p_s)) - normal_log_prob(self.x, self.locs[g, s], 0.7)
                loss = loss + w_g * (w_s * cost).sum()
        return loss


@contextmanager
def bernoulli_draws(*values):
    remaining = [torch.as_tensor(value, dtype=torch.get_default_dtype()) for value in values]
    with mock.patch.object(dist.Bernoulli, "sample", lambda self, shape=torch.Size(): remaining.pop(0)):
        yield


def test_expected_gradient_is_exact():
    """The mean over all sixteen draws, weighted by their probability: no noise is left."""
    pair = Switches()
    elbo = TraceDivergence_ELBO(max_plate_nesting=1)
    mean_loss, mean_gradients = 0.0, dict.fromkeys(dict(pair.named_parameters()), 0.0)
    for g, *s in itertools.product([0.0, 1.0], repeat=4):
        q_g, q_s = pair.q_g.sigmoid(), (pair.q_s + g).sigmoid()
        s = torch.tensor(s)
        probability = ((q_g if g else 1 - q_g) * torch.where(s > 0, q_s, 1 - q_s).prod()).detach()
        with bernoulli_draws(g, s):
            loss = elbo.differentiable_loss(pair.model, pair.guide, pair.x)
        mean_loss = mean_loss + probability * loss
        for name, gradient in gradients(loss, pair).items():
            mean_gradients[name] = mean_gradients[name] + probability * gradient
    expected = pair.exact_loss()
    torch.testing.assert_close(mean_loss, expected, rtol=1e-12, atol=0.0)
    for name, gradient in gradients(expected, pair).items():
        torch.testing.assert_close(mean_gradients[name], gradient, rtol=1e-10, atol=1e-12)


def test_local_score_is_not_multiplied_by_other_data():
    """With g fixed in value, the gradient in one datum's q sees this datum's cost only (Rao-Blackwellised)."""
    pair = Switches()
    found = []
    for x in (pair.x, torch.tensor([-0.5, 40.0, 1.5])):
        with bernoulli_draws(1.0, torch.tensor([1.0, 0.0, 1.0])):
            loss = TraceDivergence_ELBO(max_plate_nesting=1).differentiable_loss(pair.model, pair.guide, x)
        found.append(gradients(loss, pair)["q_s"])
    torch.testing.assert_close(found[0][[0, 2]], found[1][[0, 2]], rtol=1e-10, atol=0.0)
    assert (found[0][1] - found[1][1]).abs() > 1


def test_without_rsample_the_gradient_is_the_same_in_expectation():
    """The linear-Gaussian pair, its guide without rsample: 200 gradients of 100 particles each."""
    pair = LinearGaussian(2)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", NonreparameterizedNormal(pair.loc, pair.log_scale.exp()).to_event(1))

    loc, scale = pair.posterior()
    ratio = (pair.log_scale.exp() / scale) ** 2
    gap = (0.5 * (ratio + ((pair.loc - loc) / scale) ** 2) - pair.log_scale).sum()
    expected = gradients(gap, pair)
    elbo = TraceDivergence_ELBO(num_particles=100, max_plate_nesting=1)
    found = [gradients(elbo.differentiable_loss(pair.model, guide, pair.x), pair) for _ in range(200)]
    for name in ("loc", "log_scale"):
        assert_close_in_standard_errors(torch.stack([gradient[name] for gradient in found]), expected[name])
    assert elbo.sampled_sites == ()  # the KL of the two Gaussians is in closed form all the same
