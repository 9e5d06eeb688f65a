"""The minimum-information constraint: means over data and particles, masks, nested plates, and what is refused."""

from __future__ import annotations

import math
from contextlib import ExitStack

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine

from pyro_mixvae.infer import KL, FreeBits, TraceDivergence_ELBO
from tests.infer.pairs import Mixture, normal_kl

pytestmark = pytest.mark.usefixtures("float64")

LOC = torch.tensor([0.2, 1.5, -0.7, 2.2], dtype=torch.float64)
COST = normal_kl(LOC, torch.tensor(1.0))  # [4], about 0.02, 1.1, 0.2, 2.4


def pair(loc, plates=(("data", 4),), mask=True, scale=1.0):
    """z ~ N(0, 1) against N(loc, 1) in plates from the right."""

    def run(where):
        with ExitStack() as stack:
            for depth, (name, size) in enumerate(plates):
                stack.enter_context(pyro.plate(name, size, dim=-1 - depth))
            stack.enter_context(poutine.scale(scale=scale))
            stack.enter_context(poutine.mask(mask=mask))
            pyro.sample("z", dist.Normal(where, 1.0))

    return (lambda: run(torch.zeros_like(loc))), (lambda: run(loc))


def loss_and_gradient(divergence, loc, **options):
    loc = loc.clone().requires_grad_()
    model, guide = pair(loc, **options)
    loss = TraceDivergence_ELBO({"z": divergence}, max_plate_nesting=2).differentiable_loss(model, guide)
    return loss.item(), torch.autograd.grad(loss, loc)[0]


def test_above_the_floor_nothing_changes():
    mean = COST.mean().item()
    loss, gradient = loss_and_gradient(FreeBits(KL(), floor=mean - 0.01), LOC)
    assert loss == pytest.approx(4 * mean)
    torch.testing.assert_close(gradient, LOC)


def test_below_the_floor_the_cost_is_constant():
    loss, gradient = loss_and_gradient(FreeBits(KL(), floor=COST.mean().item() + 0.01), LOC)
    assert loss == pytest.approx(4 * (COST.mean().item() + 0.01))
    assert torch.equal(gradient, torch.zeros(4))


def test_per_datum():
    loss, gradient = loss_and_gradient(FreeBits(KL(), floor=1.0, per_datum=True), LOC)
    assert loss == pytest.approx(COST.clamp(min=1.0).sum().item())
    torch.testing.assert_close(gradient, torch.where(COST > 1, LOC, 0.0))


@pytest.mark.parametrize("floor", [0.5, 2.0])
def test_masked_data_do_not_enter(floor):
    """The mean is over the first two data; only they are counted in the sum."""
    mask = torch.tensor([True, True, False, False])
    mean = COST[:2].mean().item()
    assert 0.5 < mean < 2.0
    loss, gradient = loss_and_gradient(FreeBits(KL(), floor=floor), LOC, mask=mask)
    assert loss == pytest.approx(2 * max(mean, floor))
    torch.testing.assert_close(gradient, LOC * mask * (mean > floor))
    loss, _ = loss_and_gradient(FreeBits(KL(), floor=floor, per_datum=True), LOC, mask=mask)
    assert loss == pytest.approx(COST[:2].clamp(min=floor).sum().item())


def test_everything_masked():
    loss, gradient = loss_and_gradient(FreeBits(KL(), floor=1.0), LOC, mask=torch.zeros(4, dtype=torch.bool))
    assert loss == 0 and torch.equal(gradient, torch.zeros(4))


def test_scale_stands_outside():
    loss, _ = loss_and_gradient(FreeBits(KL(), floor=5.0), LOC, scale=3.0)
    assert loss == pytest.approx(3 * 4 * 5.0)


INNER = torch.tensor([[0.2, 1.5, -0.7, 2.2], [1.0, 0.0, 0.4, -0.1], [0.3, 0.3, 2.0, 1.0]]).double()  # [3, 4]


@pytest.mark.parametrize("floor", [0.1, 3.0])
@pytest.mark.parametrize("masked", [False, True])
def test_a_datum_costs_the_sum_over_the_plates_inside(floor, masked):
    """Twelve entries, three for each of four data; the mask leaves data of 3, 1, 2 and no entries."""
    mask = torch.ones(3, 4, dtype=torch.bool)
    if masked:
        mask = torch.tensor([[True, True, False, False], [True, False, True, False], [True, False, True, False]])
    per_datum = (normal_kl(INNER, torch.tensor(1.0)) * mask).sum(0)[mask.any(0)]
    mean = per_datum.mean().item()
    assert 0.1 < mean < 3.0
    plates = (("data", 4), ("inner", 3))
    loss, gradient = loss_and_gradient(FreeBits(KL(), floor=floor), INNER, plates=plates, mask=mask if masked else True)
    assert loss == pytest.approx(len(per_datum) * max(mean, floor))
    torch.testing.assert_close(gradient, INNER * mask * (mean > floor))


def test_global_site():
    loss, _ = loss_and_gradient(FreeBits(KL(), floor=2.0), torch.tensor(0.5), plates=())
    assert loss == 2.0


def test_floor_over_a_weighted_divergence():
    """The floor holds up what it is given: half of the KL."""
    loss, _ = loss_and_gradient(FreeBits(0.5 * KL(), floor=0.1), LOC)
    assert loss == pytest.approx(0.5 * COST.sum().item())


@pytest.mark.parametrize("floor", [-1.0, math.nan, math.inf, "log K", None])
def test_floor_is_refused(floor):
    with pytest.raises(ValueError, match="floor: expected a finite number of nats >= 0, got"):
        FreeBits(KL(), floor)


def test_divergence_is_refused():
    with pytest.raises(ValueError, match="divergence: expected a SiteDivergence such as KL"):
        FreeBits(1.0, 1.0)


@pytest.mark.parametrize("how", ["parallel", "sequential"])
def test_what_depends_on_an_enumerated_variable_is_refused(how):
    mixture = Mixture(how=how)
    elbo = TraceDivergence_ELBO({"z": FreeBits(KL(), 1.0)}, max_plate_nesting=1)
    with pytest.raises(ValueError, match=r"FreeBits at site 'z': KL\(\) depends on an enumerated variable"):
        elbo.loss(mixture.model, mixture.guide, mixture.x)


@pytest.mark.parametrize("how", ["parallel", "sequential"])
def test_the_enumerated_variable_itself_is_constrained(how):
    mixture = Mixture(how=how)
    elbo = TraceDivergence_ELBO({"c": FreeBits(KL(), 7.0)}, max_plate_nesting=1)
    _, terms = elbo.loss_and_terms(mixture.model, mixture.guide, mixture.x, per_datum=True)
    torch.testing.assert_close(terms["c"], torch.full((3,), 7.0))
