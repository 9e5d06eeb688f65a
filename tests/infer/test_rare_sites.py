"""Sites that few guides have: impossible categories, rejection samplers, several draws at once, equal scales."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.distributions import Rejector
from pyro.infer import TraceEnum_ELBO
from pyro.ops.indexing import Vindex
from torch import Tensor
from torch.distributions import kl_divergence

from pyro_mixvae.infer import KL, FreeBits, ImportanceWeightedELBO, TraceDivergence_ELBO
from pyro_mixvae.testing import assert_close_in_standard_errors
from tests.infer.bayesian_mixture import BayesianMixture, some_responsibilities, three_clusters

pytestmark = pytest.mark.usefixtures("float64")

X = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)


# --- categories of probability zero ----------------------------------------------------------------------------------


@pytest.mark.parametrize("divergences", [{}, {"c": KL()}, {"c": FreeBits(KL(), floor=0.1)}], ids=str)
def test_an_impossible_category_has_a_gradient(divergences) -> None:
    free = torch.tensor([0.3, -0.2], requires_grad=True)

    def model():
        with pyro.plate("data", 3):
            c = pyro.sample("c", dist.Categorical(logits=torch.zeros(3)))
            pyro.sample("x", dist.Normal(c.to(X), 1.0), obs=X)

    def guide():
        logits = torch.cat([free, torch.tensor([-math.inf])])
        with pyro.plate("data", 3):
            pyro.sample("c", dist.Categorical(logits=logits), infer={"enumerate": "parallel"})

    ours, stock = (
        torch.autograd.grad(elbo.differentiable_loss(model, guide), free)[0]
        for elbo in (TraceDivergence_ELBO(divergences, max_plate_nesting=1), TraceEnum_ELBO(max_plate_nesting=1))
    )
    torch.testing.assert_close(ours, stock)


def test_the_kl_of_categoricals_is_that_of_torch() -> None:
    probs = torch.tensor([[0.2, 0.8, 0.0], [0.5, 0.0, 0.5], [1.0, 0.0, 0.0]])
    for p_probs in ([0.3, 0.3, 0.4], [0.5, 0.5, 0.0]):
        q, p = dist.Categorical(probs), dist.Categorical(torch.tensor(p_probs))
        torch.testing.assert_close(KL().between(q, p), kl_divergence(q, p))


# --- rejection samplers ----------------------------------------------------------------------------------------------

GRID = torch.linspace(-12, 12, 4001, dtype=torch.float64)


def accepted(z: Tensor) -> Tensor:
    return torch.nn.functional.logsigmoid(4 * z)


class Tilted(Rejector):
    """The density proportional to N(z; loc, 1) sigmoid(4 z), drawn by rejection."""

    def __init__(self, loc: Tensor) -> None:
        self.loc = loc
        log_scale = self.log_density(loc.flatten()[0]).logsumexp(0) + (GRID[1] - GRID[0]).log()
        super().__init__(dist.Normal(loc, torch.ones_like(loc)), accepted, log_scale.expand(loc.shape))

    @staticmethod
    def log_density(loc: Tensor) -> Tensor:
        return dist.Normal(loc, 1.0).log_prob(GRID) + accepted(GRID)

    def expand(self, batch_shape, _instance=None):
        return Tilted(self.loc.expand(batch_shape))


def tilted_pair(loc: Tensor, num_data: int):
    def model():
        with pyro.plate("data", num_data):
            z = pyro.sample("z", dist.Normal(torch.zeros(num_data), 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=torch.full((num_data,), 2.0))

    def guide():
        with pyro.plate("data", num_data):
            pyro.sample("z", Tilted(loc.expand(num_data)))

    return model, guide


def test_a_rejection_sampler_keeps_its_score_function() -> None:
    loc = torch.tensor(-0.5, requires_grad=True)
    log_q = Tilted.log_density(loc).log_softmax(0)
    log_joint = dist.Normal(0.0, 1.0).log_prob(GRID) + dist.Normal(GRID, 1.0).log_prob(torch.tensor(2.0))
    log_step = (GRID[1] - GRID[0]).log()
    (exact,) = torch.autograd.grad((log_q.exp() * (log_q - log_step - log_joint)).sum(), loc)
    elbo = TraceDivergence_ELBO(max_plate_nesting=1)
    found = [torch.autograd.grad(elbo.differentiable_loss(*tilted_pair(loc, 1000)) / 1000, loc)[0] for _ in range(60)]
    assert_close_in_standard_errors(torch.stack(found), exact)


def test_an_importance_weight_has_no_room_for_it() -> None:
    loc = torch.tensor(-0.5, requires_grad=True)
    with pytest.raises(ValueError, match="site 'z': draws of Tilted cannot be reparameterised"):
        ImportanceWeightedELBO(2, max_plate_nesting=1).differentiable_loss(*tilted_pair(loc, 3))


# --- several draws at once -------------------------------------------------------------------------------------------


def test_several_draws_of_a_reparameterised_site() -> None:
    loc, scale = torch.tensor([0.3, 0.1, -0.2], requires_grad=True), torch.tensor(0.8, requires_grad=True)

    def model():
        with pyro.plate("data", 3):
            z = pyro.sample("z", dist.Normal(torch.zeros(3), 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=X)

    def guide():
        with pyro.plate("data", 3):
            infer = {"enumerate": "parallel", "num_samples": 2000}
            pyro.sample("z", dist.Normal(loc, scale.expand(3)), infer=infer)

    exact = kl_divergence(dist.Normal(loc, scale), dist.Normal(torch.zeros(3), 1.0)).sum()
    exact = exact + 0.5 * ((X - loc).square() + scale.square() + math.log(2 * math.pi)).sum()
    expected = [exact.detach(), *torch.autograd.grad(exact, (loc, scale))]
    rows = []
    for _ in range(30):
        loss = TraceDivergence_ELBO(max_plate_nesting=1).differentiable_loss(model, guide)
        rows.append([loss.detach(), *torch.autograd.grad(loss, (loc, scale))])
    for column, value in zip(zip(*rows, strict=True), expected, strict=True):
        assert_close_in_standard_errors(torch.stack(column), value)


# --- what guide and model say of a site ------------------------------------------------------------------------------


def masked_pair(model_mask, guide_mask):
    def model():
        with pyro.plate("data", 3), poutine.mask(mask=model_mask):
            z = pyro.sample("z", dist.Normal(torch.zeros(3), 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=X)

    def guide():
        with pyro.plate("data", 3), poutine.mask(mask=guide_mask):
            pyro.sample("z", dist.Normal(X / 2, 0.7))

    return model, guide


ALL = torch.ones(3, dtype=torch.bool)


@pytest.mark.parametrize("masks", [(True, True), (ALL, ALL.clone()), (ALL, ALL[:1]), (ALL[:1], ALL)], ids=str)
def test_equal_masks_are_compared_by_what_they_say(masks) -> None:
    elbo = TraceDivergence_ELBO({"z": KL()}, max_plate_nesting=1)
    elbo.loss(*masked_pair(*masks))
    assert elbo.sampled_sites == ()


def test_equal_scales_may_be_a_number_and_a_tensor() -> None:
    model, guide = masked_pair(True, True)
    elbo = TraceDivergence_ELBO({"z": KL()}, max_plate_nesting=1)
    elbo.loss(poutine.scale(model, torch.tensor(2.0)), poutine.scale(guide, 2.0))
    with pytest.raises(ValueError, match=r"the model scales the site by 3\.0, the guide by 2\.0"):
        elbo.loss(poutine.scale(model, torch.tensor(3.0)), poutine.scale(guide, 2.0))


def test_dreg_asks_each_guide_whether_its_sites_are_independent() -> None:
    loc = torch.zeros(3, requires_grad=True)

    def model():
        with pyro.plate("data", 3):
            a = pyro.sample("a", dist.Normal(torch.zeros(3), 1.0))
            b = pyro.sample("b", dist.Normal(torch.zeros(3), 1.0))
            pyro.sample("x", dist.Normal(a + b, 1.0), obs=X)

    def guide(chained):
        with pyro.plate("data", 3):
            a = pyro.sample("a", dist.Normal(loc, 1.0))
            pyro.sample("b", dist.Normal(a if chained else loc, 1.0))

    def independent():
        guide(False)

    def dependent():
        guide(True)

    elbo = ImportanceWeightedELBO(2, "dreg", max_plate_nesting=1)
    elbo.differentiable_loss(model, independent)
    with pytest.raises(ValueError, match="'b' depends on a"):
        elbo.differentiable_loss(model, dependent)


# --- an observed site beside vectorised particles --------------------------------------------------------------------


class WithParticles(BayesianMixture):
    def model(self, x: Tensor) -> None:
        pi = pyro.sample("pi", self.prior_weights)
        mean, precision = pyro.sample("components", self.prior_components.to_event(2)).unbind(-1)
        with pyro.plate("data", self.num_data, subsample=torch.arange(len(x))):
            r = pyro.sample("r", dist.Categorical(pi), infer={"enumerate": "parallel"})
            fn = dist.Normal(Vindex(mean)[..., r, :], Vindex(precision)[..., r, :].rsqrt()).to_event(1)
            pyro.sample("x", fn, obs=x)


def test_an_observed_site_s_divergence_beside_particles() -> None:
    x = three_clusters(12, 2)
    mixture = WithParticles(3, 2, 12)
    mixture.start(x, some_responsibilities(12, 3))
    one = mixture.objective()
    two = type(one)(one.divergences, max_plate_nesting=1, num_particles=2)
    torch.testing.assert_close(
        two.differentiable_loss(mixture.model, mixture.guide, x),
        one.differentiable_loss(mixture.model, mixture.guide, x),
    )
