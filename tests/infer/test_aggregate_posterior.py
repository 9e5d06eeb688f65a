"""The two divergences of a batch of posteriors at a site: by hand, for many data, with masks, particles and parts."""

from __future__ import annotations

import math
from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from torch.distributions import Normal, kl_divergence

from pyro_mixvae.infer import KL, AggregateKL, AggregatePosterior_ELBO, IndividualKL, TraceDivergence_ELBO
from tests.infer.pairs import assert_same_value_and_gradients, standard_normal_draws

pytestmark = pytest.mark.usefixtures("float64")

LOC = torch.tensor([[0.5, -1.0], [1.5, 2.0], [-0.5, 0.5]], dtype=torch.float64)
SCALE = torch.tensor([[0.5, 1.0], [2.0, 0.1], [1.0, 0.7]], dtype=torch.float64)


class Pair(torch.nn.Module):
    """z ~ N(0, I_2), x ~ N(sum of z, 1), and a guide with means and scales of its own for each of the data."""

    def __init__(self, loc=LOC, scale=SCALE, mask=None, scaled=1.0):
        super().__init__()
        self.loc, self.scale = torch.nn.Parameter(loc.clone()), torch.nn.Parameter(scale.clone())
        self.mask, self.scaled = mask, scaled

    def plate(self):
        mask = poutine.mask(mask=True if self.mask is None else self.mask)
        return poutine.scale(scale=self.scaled), pyro.plate("data", len(self.loc)), mask

    def model(self, x):
        scale, plate, mask = self.plate()
        with scale, plate:
            with mask:
                z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z.sum(-1), 1.0), obs=x)

    def guide(self, x):
        scale, plate, mask = self.plate()
        with scale, plate, mask:
            pyro.sample("z", dist.Normal(self.loc, self.scale).to_event(1))

    def terms(self, objective, noise=None, **options):
        x = torch.arange(len(self.loc)).double()
        if noise is None:
            return objective.loss_and_terms(self.model, self.guide, x, **options)
        with standard_normal_draws(noise):
            return objective.loss_and_terms(self.model, self.guide, x, **options)


def elbo(divergence):
    return TraceDivergence_ELBO({"z": divergence}, max_plate_nesting=1)


def by_hand(loc, scale, z=None):
    """KL_G and KL_I with loops over data and axes."""
    n, aggregate, individual = len(loc), 0.0, 0.0
    for j in range(loc.shape[1]):
        mean = sum(loc[i, j].item() for i in range(n)) / n
        if z is None:
            second = sum((loc[i, j].item() - mean) ** 2 + scale[i, j].item() ** 2 for i in range(n)) / n
        else:
            second = sum((z[i, j].item() - mean) ** 2 for i in range(n)) / n
        aggregate += 0.5 * (second + mean**2 - 1 - math.log(second))
        for i in range(n):
            variance = scale[i, j].item() ** 2
            individual += 0.5 * (variance - 1 - math.log(variance)) / n
    return aggregate, individual


def test_by_hand_in_numbers():
    """Means (0.5, 0.5); second moments 2/3 + 5.25/3 and 1.5 + 1.5/3, from the table above."""
    first, second = 2 / 3 + 5.25 / 3, 1.5 + 1.5 / 3
    aggregate = 0.5 * (first + 0.25 - 1 - math.log(first)) + 0.5 * (second + 0.25 - 1 - math.log(second))
    assert by_hand(LOC, SCALE)[0] == pytest.approx(aggregate)
    _, terms = Pair().terms(elbo(AggregateKL()))
    assert terms["z"].item() / 3 == pytest.approx(aggregate)


def test_the_sum_over_the_data_divided_by_their_number_is_the_paper_s_term():
    aggregate, individual = by_hand(LOC, SCALE)
    for divergence, expected in {
        AggregateKL(): aggregate,
        IndividualKL(): individual,
        2 * AggregateKL() + 0.5 * IndividualKL(): 2 * aggregate + 0.5 * individual,
    }.items():
        _, terms = Pair().terms(elbo(divergence))
        assert terms["z"].item() / 3 == pytest.approx(expected), divergence


def test_sampled_moments_see_the_draw_that_the_model_sees():
    noise = torch.tensor([[0.3, -1.2], [2.0, 0.1], [-0.4, 0.9]])
    _, terms = Pair().terms(elbo(AggregateKL("sampled")), noise)
    assert terms["z"].item() / 3 == pytest.approx(by_hand(LOC, SCALE, LOC + SCALE * noise)[0])


def test_means_leave_the_variances_free():
    _, terms = Pair().terms(elbo(AggregateKL("means")))
    assert terms["z"].item() / 3 == pytest.approx(by_hand(LOC, 1e-9 * torch.ones_like(LOC))[0])


def test_for_many_data_it_is_the_kl_of_the_moment_matched_gaussian():
    """400 posteriors, 400,000 draws of their mixture: both moments; fail beyond 4.5 standard errors of each."""
    loc, scale = 1.3 * torch.randn(400, 3), 0.2 + torch.rand(400, 3)
    draws = (loc + scale * torch.randn(1000, 400, 3)).reshape(-1, 3)
    _, terms = Pair(loc[:, :2], scale[:, :2]).terms(elbo(AggregateKL()))
    matched = [
        kl_divergence(Normal(mean, variance.sqrt()), Normal(0.0, 1.0)).sum()
        for mean, variance in [(part.mean(0), part.var(0)) for part in draws[:, :2].chunk(20)]
    ]
    # moments of 20,000 draws each: their KL exceeds the true one by about 2 (D/2) / 20,000 in the mean
    values = torch.stack(matched)
    error = values.std() / math.sqrt(len(values)) + 1e-4
    assert abs(terms["z"].item() / 400 - values.mean()) < 4.5 * error


def test_the_moments_of_batches_approach_those_of_all_data():
    """The mean over batches of n data exceeds KL_G of all data by about a constant over n."""
    loc, scale = torch.randn(4096, 2), 0.3 + torch.rand(4096, 2)
    objective = elbo(AggregateKL())

    def mean_over_batches(size):
        parts = zip(loc.split(size), scale.split(size), strict=True)
        return torch.stack([Pair(*part).terms(objective)[1]["z"] / size for part in parts]).mean().item()

    whole = mean_over_batches(4096)
    excess = [mean_over_batches(size) - whole for size in (16, 64, 256)]
    assert excess[0] > excess[1] > excess[2] > 0
    assert 2 < excess[0] / excess[1] < 8
    assert 2 < excess[1] / excess[2] < 8


def test_gradient_of_individual_kl_leaves_the_means_alone():
    pair = Pair()
    _, terms = pair.terms(elbo(IndividualKL()))
    loc, scale = torch.autograd.grad(terms["z"], [pair.loc, pair.scale], allow_unused=True)
    assert loc is None or not loc.any()
    torch.testing.assert_close(scale, SCALE - 1 / SCALE)


def test_kl_is_the_individual_kl_and_the_squared_means():
    loss, _ = Pair().terms(elbo(KL()), torch.zeros(3, 2))
    other, _ = Pair().terms(elbo(IndividualKL()), torch.zeros(3, 2))
    assert (loss - other).item() == pytest.approx(0.5 * LOC.square().sum().item())


@pytest.mark.parametrize("moments", ["exact", "sampled", "means"])
def test_masked_data_do_not_enter(moments):
    mask = torch.tensor([True, False, True])
    noise = torch.randn(3, 2)
    objective = elbo(AggregateKL(moments) + IndividualKL())
    masked, _ = Pair(mask=mask).terms(objective, noise)
    moved, _ = Pair(LOC + 5 * ~mask[:, None], SCALE, mask=mask).terms(objective, noise - 5 * (~mask)[:, None] / SCALE)
    torch.testing.assert_close(masked, moved)
    _, terms = Pair(mask=mask).terms(objective, noise)
    _, kept = Pair(LOC[mask], SCALE[mask]).terms(objective, noise[mask])
    torch.testing.assert_close(terms["z"], kept["z"])


@pytest.mark.parametrize("vectorize", [True, False])
def test_particles_are_kept_apart(vectorize):
    """The mean over 4 particles of KL_G at each particle's draw, not KL_G of 4 times as many draws."""
    noise = torch.randn(4, 3, 2)
    objective = TraceDivergence_ELBO(
        {"z": AggregateKL("sampled")}, num_particles=4, vectorize_particles=vectorize, max_plate_nesting=1
    )
    draws = [noise] if vectorize else list(noise)
    pair = Pair()
    with standard_normal_draws(*draws):
        _, terms = objective.loss_and_terms(pair.model, pair.guide, torch.zeros(3))
    apart = [by_hand(LOC, SCALE, LOC + SCALE * one)[0] for one in noise]
    assert terms["z"].item() / 3 == pytest.approx(sum(apart) / 4)


def test_refused():
    with pytest.raises(ValueError, match='moments: expected "exact", "sampled" or "means", got \'mean\''):
        AggregateKL("mean")

    def unplated(x):
        pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))

    with pytest.raises(ValueError, match=r"'z': AggregateKL.* needs a plate of data"):
        TraceDivergence_ELBO({"z": AggregateKL()}).differentiable_loss(unplated, unplated, None)

    def gamma(x):
        with pyro.plate("data", 2):
            pyro.sample("z", dist.Gamma(torch.ones(2), 1.0).to_event(1))

    with pytest.raises(ValueError, match=r"'z': expected a Normal\(\.\.\.\).to_event\(1\)"):
        TraceDivergence_ELBO({"z": IndividualKL()}).differentiable_loss(gamma, gamma, None)


# --- the objective that tells its two parts apart -------------------------------------------------------------------


def make(objective=AggregatePosterior_ELBO, first=1.5, second=0.5, **options):
    parts = first * AggregateKL(), second * IndividualKL()
    if objective is AggregatePosterior_ELBO:
        return objective(*parts, **options)
    return objective({"z": parts[0] + parts[1]}, max_plate_nesting=1, **options)


@pytest.mark.parametrize("scaled", [1.0, 3.0])
@pytest.mark.parametrize("mask", [None, torch.tensor([True, False, True])], ids=["all", "masked"])
def test_two_parts_of_the_same_objective(mask, scaled):
    pair, noise = Pair(mask=mask, scaled=scaled), torch.randn(3, 2)
    loss, terms = pair.terms(make(), noise)
    other, together = pair.terms(make(TraceDivergence_ELBO), noise)
    assert_same_value_and_gradients(loss, other, pair)
    assert list(terms) == ["x", "z_aggregate", "z_individual"]
    kept = slice(None) if mask is None else mask
    aggregate, individual = by_hand(LOC[kept], SCALE[kept])
    weight = scaled * len(LOC[kept])
    assert terms["z_aggregate"].item() == pytest.approx(1.5 * weight * aggregate)
    assert terms["z_individual"].item() == pytest.approx(0.5 * weight * individual)
    torch.testing.assert_close(terms["z_aggregate"] + terms["z_individual"], together["z"])


@pytest.mark.parametrize("num_particles", [1, 3])
def test_parts_for_each_datum(num_particles):
    pair = Pair()
    loss, terms = pair.terms(make(num_particles=num_particles), per_datum=True)
    individual = 0.5 * 0.5 * (SCALE**2 - 1 - 2 * SCALE.log()).sum(-1)
    torch.testing.assert_close(terms["z_individual"], individual)
    torch.testing.assert_close(terms["z_aggregate"], torch.full((3,), 1.5 * by_hand(LOC, SCALE)[0]))
    torch.testing.assert_close(sum(term.sum() for term in terms.values()), loss)


def test_a_warm_up_weights_both_parts():
    weight = torch.tensor(0.25)
    warmed = make().weighted({"z": weight})
    _, terms = Pair().terms(warmed)
    aggregate, individual = by_hand(LOC, SCALE)
    assert terms["z_aggregate"].item() == pytest.approx(3 * 0.25 * 1.5 * aggregate)
    assert terms["z_individual"].item() == pytest.approx(3 * 0.25 * 0.5 * individual)
    weight.fill_(1.0)
    _, terms = Pair().terms(warmed)
    assert terms["z_individual"].item() == pytest.approx(3 * 0.5 * individual)
    with pytest.raises(ValueError, match=r"divergences\['w'\]"):
        Pair().terms(make().weighted({"w": weight}))


def test_zero_weights():
    _, terms = Pair().terms(make(first=0, second=0))
    assert terms["z_aggregate"].item() == terms["z_individual"].item() == 0


@pytest.mark.parametrize("divergence", [AggregateKL(), IndividualKL(), AggregateKL("means")], ids=repr)
def test_gradcheck(divergence):
    def loss(loc, scale):
        pair = Pair()
        del pair._parameters["loc"], pair._parameters["scale"]
        pair.loc, pair.scale = loc, scale
        return pair.terms(elbo(divergence))[1]["z"]

    arguments = LOC.clone().requires_grad_(), SCALE.clone().requires_grad_()
    assert torch.autograd.gradcheck(partial(loss), arguments)
