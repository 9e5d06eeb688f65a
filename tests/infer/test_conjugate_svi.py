"""Natural-gradient steps: variational Bayes where they are exact, and the Fisher metric where they are not."""

from __future__ import annotations

import pyro
import pytest
import torch
from pyro.infer import SVI, TraceEnum_ELBO

from pyro_mixvae.distributions import MixingWeights, NormalGamma
from pyro_mixvae.infer import ConjugateSVI, RobbinsMonro, natural_gradient_step
from tests.infer.bayesian_mixture import BayesianMixture, ScikitLearns, some_responsibilities, three_clusters

pytestmark = pytest.mark.usefixtures("float64", "no_global_parameters")

FULL = {"schedule": lambda t: 1.0}


def svi_of(model: BayesianMixture, **options) -> ConjugateSVI:
    return ConjugateSVI(model.model, model.guide, pyro.optim.Adam({"lr": 1e-3}), model.objective(), **options)


@pytest.mark.parametrize("num_steps", [1, 50])
def test_full_batches_at_rho_1_are_scikit_learns_variational_bayes(num_steps):
    x = three_clusters(300, 1)
    theirs = ScikitLearns(x, num_steps)
    a0, b0 = theirs.DEGREES_OF_FREEDOM / 2, theirs.COVARIANCE / 2
    model = BayesianMixture(3, 1, 300, theirs.MEAN, theirs.MEAN_PRECISION, a0, b0, theirs.WEIGHT)
    model.start(x, theirs.start)
    svi = svi_of(model, **FULL)
    for _ in range(num_steps):
        svi.step(x)
    theirs.assert_is(model.weights, model.components, model.responsibilities(x))


@pytest.mark.parametrize("dim", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_the_bound_never_decreases(dim):
    x = three_clusters(200, dim)
    model = BayesianMixture(6, dim, 200, a0=0.01, b0=0.01)
    model.start(x, some_responsibilities(200, 6))
    svi = svi_of(model, **FULL)
    losses = torch.tensor([svi.step(x) for _ in range(200)])
    assert losses[0] > losses[-1] + 1
    # rounding: 1e-12 of the loss
    assert (losses.diff() <= 1e-12 * losses.abs().max()).all()


def test_a_batch_at_a_time_finds_the_same_clusters():
    x = three_clusters(600, 2)
    full, stochastic = BayesianMixture(3, 2, 600), BayesianMixture(3, 2, 600)
    start = some_responsibilities(600, 3)
    for model in (full, stochastic):
        model.start(x, start)
    svi = svi_of(full, **FULL)
    for _ in range(100):
        svi.step(x)
    svi = svi_of(stochastic, schedule=RobbinsMonro(10, 0.7))
    for _ in range(20):
        for rows in torch.randperm(600).split(50):
            svi.step(x[rows])
    assert int(stochastic.components.num_steps) == 240
    found, expected = (model.components.distribution().loc for model in (stochastic, full))
    torch.testing.assert_close(found, expected, rtol=0, atol=0.05)


@pytest.mark.parametrize("rho", [0.3, 1.0])
def test_the_step_is_along_the_inverse_fisher_matrix_times_the_gradient(rho):
    """The bound as a function of the natural parameters, its gradient and the Fisher matrix by autograd."""
    x = three_clusters(40, 2)
    model = BayesianMixture(3, 2, 400, a0=1.5, b0=0.8, s0=0.6, m0=0.3)
    model.start(x, some_responsibilities(40, 3))
    before = {"pi": model.weights.natural.clone(), "components": model.components.natural.clone()}
    gamma = model.responsibilities(x).detach()

    def bound(natural_pi, natural_components):
        pi = MixingWeights.from_natural_parameters(natural_pi)
        components = NormalGamma.from_natural_parameters(natural_components)
        terms = components.expected_log_prob(x.unsqueeze(1)).sum(-1) + pi.expected_statistics
        data = 400 / 40 * (gamma * terms).sum()
        kl = torch.distributions.kl_divergence
        return data - kl(components, model.prior_components).sum() - kl(pi, model.prior_weights)

    gradients = torch.func.grad(bound, argnums=(0, 1))(*before.values())
    normalizers = {
        "pi": lambda natural: MixingWeights.from_natural_parameters(natural).log_normalizer,
        "components": lambda natural: NormalGamma.from_natural_parameters(natural).log_normalizer.sum(),
    }
    expected = {}
    for (name, natural), gradient in zip(before.items(), gradients, strict=True):
        fisher = torch.autograd.functional.hessian(normalizers[name], natural).reshape(natural.numel(), -1)
        direction = torch.linalg.solve(fisher, gradient.flatten()).reshape(natural.shape)
        expected[name] = natural + rho * direction
    svi_of(model, schedule=lambda t: rho).step(x)
    torch.testing.assert_close(model.weights.natural, expected["pi"], rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(model.components.natural, expected["components"], rtol=1e-8, atol=1e-8)


def test_the_gradient_in_the_expected_statistics_is_equation_13():
    x = three_clusters(50, 2)
    model = BayesianMixture(3, 2, 1000)
    model.start(x, some_responsibilities(50, 3))
    gamma = model.responsibilities(x)
    svi_of(model, **FULL).step(x)
    each = NormalGamma.likelihood_statistics(x)
    sums = 20 * torch.einsum("nk,nds->kds", gamma, each)
    torch.testing.assert_close(model.components.natural, model.components.prior_natural + sums, rtol=6e-14, atol=0)
    torch.testing.assert_close(
        model.weights.natural, model.weights.prior_natural + 20 * gamma.sum(0), rtol=6e-14, atol=0
    )


def test_stock_objectives_estimate_the_same_bound():
    """TraceEnum draws xi from q; over 150 draws its mean is the closed form (fails beyond 4.5 standard errors)."""
    x = three_clusters(30, 2)
    model = BayesianMixture(3, 2, 30, a0=2.0, b0=1.0)
    model.start(x, some_responsibilities(30, 3))
    exact = model.objective().loss(model.model, model.guide, x)
    elbo = TraceEnum_ELBO(max_plate_nesting=1)
    draws = torch.tensor([elbo.loss(model.model, model.guide, x) for _ in range(150)])
    assert (draws.mean() - exact).abs() < 4.5 * draws.std() / 150**0.5
    assert draws.std() > 0.1  # the closed form has no noise at all


def test_a_guide_without_posterior_is_refused():
    with pytest.raises(ValueError, match="guide: holds no ConjugatePosterior"):
        ConjugateSVI(lambda: None, lambda: None, pyro.optim.Adam({}), TraceEnum_ELBO())


@pytest.mark.parametrize("options", [{"delay": 0.5}, {"forgetting": 0.5}, {"forgetting": 1.2}])
def test_schedules_that_do_not_converge_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        RobbinsMonro(**options)


def test_step_lengths_of_the_paper():
    assert RobbinsMonro(2000, 0.52)(torch.tensor(0)).item() == pytest.approx(0.0192, abs=5e-5)
    assert RobbinsMonro(2000, 0.7)(torch.tensor(0)).item() == pytest.approx(0.0049, abs=5e-5)


def test_no_posterior_no_step():
    natural_gradient_step([], lambda: pytest.fail("evaluated for nothing"))


def test_plain_svi_moves_nothing_in_the_posterior():
    x = three_clusters(20, 1)
    model = BayesianMixture(2, 1, 20)
    before = model.components.natural.clone()
    SVI(model.model, model.guide, pyro.optim.Adam({"lr": 0.1}), model.objective()).step(x)
    assert torch.equal(model.components.natural, before)
