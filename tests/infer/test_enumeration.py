"""Discrete sites summed out in the guide and in the model: against loops over their values and TraceEnum_ELBO."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import TraceEnum_ELBO
from torch import nn

from pyro_mixvae.infer import KL, TraceDivergence_ELBO
from tests.infer.pairs import (
    Mixture,
    assert_same_value_and_gradients,
    normal_kl,
    normal_log_prob,
    standard_normal_draws,
)

pytestmark = pytest.mark.usefixtures("float64")


def loss_of(elbo, pair, *noise):
    with standard_normal_draws(*noise):
        return elbo.differentiable_loss(pair.model, pair.guide, pair.x)


def mixture_by_hand(pair: Mixture, noise: torch.Tensor) -> dict[str, torch.Tensor]:
    """z, q(c | z) and p(c) of the mixture pair, the first two [..., 3]."""
    z = (pair.q_loc + pair.q_scale * noise).unsqueeze(-1)
    return {"z": z, "log_q": (z * pair.slope).log_softmax(-1), "log_p": pair.logits.log_softmax(-1)}


@pytest.mark.parametrize("how", ["parallel", "sequential"])
def test_mixture_enumerated_in_the_guide(how):
    """No divergence named: z keeps its sampled ratio, for p(z | c) looks ahead; c takes its closed form."""
    pair, noise = Mixture(how=how), torch.randn(3)
    elbo = TraceDivergence_ELBO(max_plate_nesting=1)
    h = mixture_by_hand(pair, noise)
    inside = h["log_p"] + normal_log_prob(h["z"], pair.locs, pair.scales) - h["log_q"]
    log_q_z = normal_log_prob(h["z"][:, 0], pair.q_loc, pair.q_scale)
    expected = -(normal_log_prob(pair.x, h["z"][:, 0], 0.5) - log_q_z + (h["log_q"].exp() * inside).sum(-1)).sum()
    assert_same_value_and_gradients(loss_of(elbo, pair, noise), expected, pair)
    assert_same_value_and_gradients(loss_of(TraceEnum_ELBO(max_plate_nesting=1), pair, noise), expected, pair)
    assert elbo.sampled_sites == ("z",)


@pytest.mark.parametrize("how", ["parallel", "sequential"])
def test_closed_form_weighted_by_the_guide_where_it_is_asked_for(how):
    pair, noise = Mixture(how=how), torch.randn(3)
    elbo = TraceDivergence_ELBO({"z": 0.5 * KL()}, max_plate_nesting=1)
    h = mixture_by_hand(pair, noise)
    q_c = h["log_q"].exp()
    kl_z = normal_kl(pair.q_loc.unsqueeze(-1), pair.q_scale.unsqueeze(-1), pair.locs, pair.scales)
    cost = 0.5 * q_c * kl_z + q_c * (h["log_q"] - h["log_p"])
    expected = (cost.sum(-1) - normal_log_prob(pair.x, h["z"][:, 0], 0.5)).sum()
    assert_same_value_and_gradients(loss_of(elbo, pair, noise), expected, pair)
    assert elbo.sampled_sites == ()


def test_mixture_enumerated_in_the_model():
    """What depends on c stands inside a logarithm and keeps its sampled ratio: Pyro's own value and gradient."""
    pair, noise = Mixture(enumerate_in="model"), torch.randn(3)
    elbo = TraceDivergence_ELBO(max_plate_nesting=1)
    z = (pair.q_loc + pair.q_scale * noise).unsqueeze(-1)
    log_p_z = (pair.logits.log_softmax(-1) + normal_log_prob(z, pair.locs, pair.scales)).logsumexp(-1)
    log_q_z = normal_log_prob(z[:, 0], pair.q_loc, pair.q_scale)
    expected = -(normal_log_prob(pair.x, z[:, 0], 0.5) + log_p_z - log_q_z).sum()
    found = loss_of(elbo, pair, noise)
    assert_same_value_and_gradients(found, expected, pair)
    assert_same_value_and_gradients(found, loss_of(TraceEnum_ELBO(max_plate_nesting=1), pair, noise), pair)
    assert elbo.sampled_sites == ("z",)


@pytest.mark.parametrize("name", ["z", "c"])
def test_no_divergence_for_what_the_model_enumerates(name):
    pair = Mixture(enumerate_in="model")
    elbo = TraceDivergence_ELBO({name: KL()}, max_plate_nesting=1)
    with pytest.raises(ValueError, match=rf"divergences\['{name}'\].*enumerate in the guide"):
        elbo.loss(pair.model, pair.guide, pair.x)


@pytest.mark.parametrize("enumerate_in", ["guide", "model"])
def test_vectorised_particles_are_the_mean_of_single_runs(enumerate_in):
    """Four particles on three data with three components: no dimension is taken for another one."""
    pair, noise = Mixture(enumerate_in=enumerate_in), torch.randn(4, 3)
    single = TraceDivergence_ELBO(max_plate_nesting=1)
    expected = torch.stack([loss_of(single, pair, part) for part in noise]).mean()
    particles = TraceDivergence_ELBO(num_particles=4, max_plate_nesting=1)
    assert_same_value_and_gradients(loss_of(particles, pair, noise), expected, pair)
    one_by_one = TraceDivergence_ELBO(num_particles=4, max_plate_nesting=1, vectorize_particles=False)
    assert_same_value_and_gradients(loss_of(one_by_one, pair, *noise), expected, pair)


@pytest.mark.parametrize("how", ["parallel", "sequential"])
def test_what_lies_outside_the_plate_counts_once(how):
    """A global site beside c: each of the three runs that enumerate c one by one holds a third of its cost."""
    pair, noise = Mixture(how=how), torch.randn(3)

    def model(x):
        pyro.sample("g", dist.Normal(0.0, 1.0))
        pair.model(x)

    def guide(x):
        pyro.sample("g", dist.Normal(0.4, 0.6))
        pair.guide(x)

    elbo = TraceDivergence_ELBO({"z": KL()}, max_plate_nesting=1)
    with standard_normal_draws(torch.zeros(()), noise):
        _, terms = elbo.loss_and_terms(model, guide, pair.x)
    torch.testing.assert_close(terms.pop("g"), normal_kl(torch.tensor(0.4), torch.tensor(0.6)))
    with standard_normal_draws(noise):
        _, expected = elbo.loss_and_terms(pair.model, pair.guide, pair.x)
    torch.testing.assert_close(terms, expected)


class Classes(nn.Module):
    """y ~ Cat, z ~ N(0, 1), x ~ N(z + mu_y, 0.5^2); guide q(y) q(z | y), as in Kingma et al.'s M2."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor([0.5, -0.3, 0.0]))
        self.locs = nn.Parameter(torch.tensor([-1.0, 0.2, 1.4]))
        self.q_logits = nn.Parameter(torch.randn(4, 3))
        self.q_locs = nn.Parameter(torch.randn(3))
        self.q_log_scale = nn.Parameter(torch.tensor(-0.5))
        self.x = torch.randn(4)

    def model(self, x):
        with pyro.plate("data", len(x)):
            y = pyro.sample("y", dist.Categorical(logits=self.logits))
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z + self.locs[y], 0.5), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x)):
            y = pyro.sample("y", dist.Categorical(logits=self.q_logits), infer={"enumerate": "parallel"})
            pyro.sample("z", dist.Normal(self.q_locs[y] + 0.3 * x, self.q_log_scale.exp()))


def test_enumerated_class_feeds_the_likelihood():
    pair, noise = Classes(), torch.randn(3, 4)
    elbo = TraceDivergence_ELBO(max_plate_nesting=1)
    log_q, log_p = pair.q_logits.log_softmax(-1), pair.logits.log_softmax(-1)
    expected = (log_q.exp() * (log_q - log_p)).sum()
    for y in range(3):  # each class has a draw of z of its own
        loc, scale = pair.q_locs[y] + 0.3 * pair.x, pair.q_log_scale.exp()
        log_likelihood = normal_log_prob(pair.x, loc + scale * noise[y] + pair.locs[y], 0.5)
        expected = expected + (log_q[:, y].exp() * (normal_kl(loc, scale) - log_likelihood)).sum()
    assert_same_value_and_gradients(loss_of(elbo, pair, noise), expected, pair)
    assert elbo.sampled_sites == ()


class TwoDiscrete(nn.Module):
    """a in 0..1 and b in 0..2, both enumerated in the guide; every dependence between them, in either order."""

    def __init__(self, model_order: str, guide_order: str) -> None:
        super().__init__()
        self.orders = {"model": model_order, "guide": guide_order}
        self.tables = nn.ParameterDict(
            {
                f"{side}_{kind}": nn.Parameter(torch.randn(shape))
                for side in ("model", "guide")
                for kind, shape in {"a": (4, 2), "b": (4, 3), "b_given_a": (2, 3), "a_given_b": (3, 2)}.items()
            }
        )
        self.locs = nn.Parameter(torch.randn(2, 3))
        self.x = torch.randn(4)

    def logits(self, side: str, name: str, other=None):
        table = self.tables[f"{side}_{name}"]
        return table if other is None else table + self.tables[f"{side}_{name}_given_{'ab'.replace(name, '')}"][other]

    def sites(self, side: str):
        order = self.orders[side]
        first, second = ("b", "a") if order == "b->a" else ("a", "b")
        infer = {"enumerate": "parallel"}
        value = {first: pyro.sample(first, dist.Categorical(logits=self.logits(side, first)), infer=infer)}
        other = value[first] if "->" in order else None
        logits = self.logits(side, second, other)
        value[second] = pyro.sample(second, dist.Categorical(logits=logits), infer=infer)
        return value["a"], value["b"]

    def model(self, x):
        with pyro.plate("data", len(x)):
            a, b = self.sites("model")
            pyro.sample("x", dist.Normal(self.locs[a, b], 0.8), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x)):
            self.sites("guide")

    def log_prob(self, side: str, a: int, b: int):
        """log p(a, b) or log q(a, b), [4]."""
        order, values = self.orders[side], {"a": a, "b": b}
        total = 0.0
        for name, other in (("a", b if order == "b->a" else None), ("b", a if order == "a->b" else None)):
            total = total + self.logits(side, name, other).log_softmax(-1)[:, values[name]]
        return total


@pytest.mark.parametrize("guide_order", ["a->b", "b->a", "a,b"])
@pytest.mark.parametrize("model_order", ["a->b", "b->a", "a,b"])
def test_two_enumerated_sites_in_any_order(model_order, guide_order):
    """A table of all six pairs of values; nothing is sampled, so the loss is exact, and Pyro's."""
    pair = TwoDiscrete(model_order, guide_order)
    elbo = TraceDivergence_ELBO(max_plate_nesting=1)
    expected = torch.zeros(())
    for a in range(2):
        for b in range(3):
            log_q = pair.log_prob("guide", a, b)
            log_p = pair.log_prob("model", a, b) + normal_log_prob(pair.x, pair.locs[a, b], 0.8)
            expected = expected + (log_q.exp() * (log_q - log_p)).sum()
    found = elbo.differentiable_loss(pair.model, pair.guide, pair.x)
    assert_same_value_and_gradients(found, expected, pair)
    stock = TraceEnum_ELBO(max_plate_nesting=1).differentiable_loss(pair.model, pair.guide, pair.x)
    assert_same_value_and_gradients(found, stock, pair)
    assert elbo.sampled_sites == ()


def test_marginals_of_a_model_enumerated_site_are_pyros():
    pair = Mixture(enumerate_in="model")
    found, expected = (
        elbo(max_plate_nesting=1).compute_marginals(pair.model, lambda x: fixed_z(pair), pair.x)["c"].probs
        for elbo in (TraceDivergence_ELBO, TraceEnum_ELBO)
    )
    torch.testing.assert_close(found, expected)


def fixed_z(pair: Mixture) -> None:
    with pyro.plate("data", len(pair.x)):
        pyro.sample("z", dist.Delta(pair.q_loc))
