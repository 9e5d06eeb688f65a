"""A VAE whose evidence is known in closed form: the bound lies below it and touches it at the true posterior."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO

from pyro_mixvae.infer import KL, TraceDivergence_ELBO
from pyro_mixvae.testing import assert_close_in_standard_errors
from tests.infer.pairs import LinearGaussian, gradients, normal_kl, sign_patterns, standard_normal_draws

pytestmark = pytest.mark.usefixtures("float64")


def exact_bound(pair: LinearGaussian) -> torch.Tensor:
    """The ELBO without noise: four draws over which the mean of a quadratic is exact."""
    elbo = TraceDivergence_ELBO({"z": KL()}, num_particles=4, max_plate_nesting=1)
    with standard_normal_draws(sign_patterns(2)):
        return -elbo.differentiable_loss(pair.model, pair.guide, pair.x)


def test_bound_is_the_evidence_less_the_divergence_from_the_posterior():
    pair = LinearGaussian()
    loc, scale = pair.posterior()
    gap = normal_kl(pair.loc, pair.log_scale.exp(), loc, scale).sum()
    bound = exact_bound(pair)
    assert bound < pair.log_evidence().sum()
    torch.testing.assert_close(bound, pair.log_evidence().sum() - gap, rtol=1e-10, atol=0.0)


def test_tight_at_the_posterior_and_stationary_there():
    pair = LinearGaussian()
    pair.set_guide_to_posterior()
    bound = exact_bound(pair)
    evidence = pair.log_evidence().sum()
    torch.testing.assert_close(bound, evidence, rtol=0.0, atol=1e-8)
    found, expected = gradients(bound, pair), gradients(evidence, pair)
    for name in ("loc", "log_scale"):
        torch.testing.assert_close(found[name], torch.zeros_like(found[name]), rtol=0.0, atol=1e-8)
    for name in ("weight", "bias"):  # at a tight bound the model's gradient is the evidence's
        torch.testing.assert_close(found[name], expected[name], rtol=1e-8, atol=1e-8)


def test_every_single_draw_is_exact_where_the_ratio_is_sampled():
    """A dense Gaussian guide against a diagonal prior has no closed form; at the posterior its ratio has no noise."""
    pair = LinearGaussian()
    loc, scale = pair.posterior()

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.MultivariateNormal(loc.detach(), torch.diag_embed(scale.detach() ** 2)))

    elbo = TraceDivergence_ELBO(max_plate_nesting=1)
    loss, terms = elbo.loss_and_terms(pair.model, guide, pair.x, per_datum=True)
    assert elbo.sampled_sites == ("z",)
    torch.testing.assert_close(-terms["x"] - terms["z"], pair.log_evidence(), rtol=0.0, atol=1e-8)
    torch.testing.assert_close(-loss, pair.log_evidence().sum(), rtol=0.0, atol=1e-8)


def test_closed_form_has_the_mean_of_the_sampled_bound_and_less_variance():
    """400 independent copies; a loose guide (twice the posterior's scale) away from the posterior's mean."""
    pair = LinearGaussian()
    pair.set_guide_to_posterior()
    with torch.no_grad():
        pair.log_scale += 0.7
        pair.loc += 0.3
    exact = -exact_bound(pair)
    draws = {}
    for elbo in (TraceDivergence_ELBO(max_plate_nesting=1), Trace_ELBO(max_plate_nesting=1)):
        draws[type(elbo)] = torch.tensor([elbo.loss(pair.model, pair.guide, pair.x) for _ in range(400)])
        assert_close_in_standard_errors(draws[type(elbo)], exact.detach())
    # at a tight bound the noise of log q and of the reconstruction cancel; with a weak decoder nothing cancels
    with torch.no_grad():
        pair.weight *= 0.05
    for elbo in (TraceDivergence_ELBO(max_plate_nesting=1), Trace_ELBO(max_plate_nesting=1)):
        draws[type(elbo)] = torch.tensor([elbo.loss(pair.model, pair.guide, pair.x) for _ in range(400)])
    assert draws[TraceDivergence_ELBO].std() < 0.5 * draws[Trace_ELBO].std()


@pytest.mark.parametrize("vectorize", [True, False])
def test_particles_agree_in_expectation(vectorize: bool):
    """Thirty runs of 20 particles each, vectorised or not: the same mean, the exact one."""
    pair = LinearGaussian()
    elbo = TraceDivergence_ELBO(num_particles=20, max_plate_nesting=1, vectorize_particles=vectorize)
    losses = torch.tensor([elbo.loss(pair.model, pair.guide, pair.x) for _ in range(30)])
    assert_close_in_standard_errors(losses, -exact_bound(pair).detach())


def test_guessed_plate_nesting():
    pair = LinearGaussian()
    elbo = TraceDivergence_ELBO(num_particles=4)
    elbo.loss(pair.model, pair.guide, pair.x)
    assert elbo.max_plate_nesting == 2  # one plate, and the particles'
    with standard_normal_draws(sign_patterns(2)):
        loss = elbo.differentiable_loss(pair.model, pair.guide, pair.x)
    torch.testing.assert_close(-loss, exact_bound(pair))
