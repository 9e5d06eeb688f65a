"""Equation 4, TraceEnum_ELBO and the evidence: what each of them is, and how they are ordered."""

from __future__ import annotations

import math

import pytest
import torch
from pyro.infer import TraceEnum_ELBO

from pyro_mixvae.infer import TraceDivergence_ELBO
from pyro_mixvae.models import GMVAE
from pyro_mixvae.testing import assert_close_in_standard_errors
from tests.infer.pairs import assert_same_value_and_gradients, normal_log_prob
from tests.models.gmvae_by_hand import ByHand, tiny_data, tiny_gmvae


def loss_at(seed, elbo, model, x):
    torch.manual_seed(seed)
    return elbo.differentiable_loss(model.model, model.guide, x)


def value_at(seed, elbo, model, x):
    torch.manual_seed(seed)
    return elbo.loss(model.model, model.guide, x)


@pytest.mark.parametrize("where", ["guide", "model"])
@pytest.mark.parametrize("num_components", [1, 3, 7])
def test_stock_trace_enum_is_exact_enumeration(num_components, where):
    model, x = tiny_gmvae(num_components, enumerate_in=where), tiny_data()
    elbo = TraceEnum_ELBO(max_plate_nesting=1)
    by_hand = ByHand(model, x, 2)
    for enumerated in ("guide", "model"):  # summed in either place: the same value and the same gradient
        expected = by_hand.enumerated(enumerated).sum()
        assert_same_value_and_gradients(loss_at(2, elbo, model, x), expected, model, rtol=1e-8)


def test_stock_trace_enum_with_particles():
    model, x = tiny_gmvae(3), tiny_data()
    elbo = TraceEnum_ELBO(num_particles=4, vectorize_particles=True, max_plate_nesting=1)
    expected = ByHand(model, x, 2, 4).enumerated("guide").mean(0).sum()
    assert_same_value_and_gradients(loss_at(2, elbo, model, x), expected, model, rtol=1e-8)


def test_enumeration_in_the_model_under_the_default_divergence():
    """z keeps its sampled ratio inside the logarithm; w, which does not depend on c, takes its closed form."""
    model, x = tiny_gmvae(3, enumerate_in="model"), tiny_data()
    elbo = TraceDivergence_ELBO(max_plate_nesting=1)
    by_hand = ByHand(model, x, 2)
    log_w_ratio = normal_log_prob(by_hand.w, by_hand.w_loc, by_hand.w_scale) - normal_log_prob(by_hand.w, 0.0, 1.0)
    expected = (by_hand.enumerated("model") - log_w_ratio.sum(-1) + by_hand.terms()["w"]).sum()
    assert_same_value_and_gradients(loss_at(2, elbo, model, x), expected, model)
    assert elbo.sampled_sites == ("z",)


def test_paper_objective_with_enumeration_in_the_model_says_what_to_do():
    model, x = tiny_gmvae(3, enumerate_in="model"), tiny_data()
    with pytest.raises(ValueError, match="enumerate in the guide"):
        model.terms(x)


def test_the_bounds_differ_by_the_symmetrised_divergence_of_the_weights():
    r"""TraceEnum - equation 4 = E_w sum_c Cov(p(c|z,w), a_c) = E_w E_{z,z'} 1/2 [KL(p||p') + KL(p'||p)] >= 0.

    The left side from the two ELBOs (40 runs on 500 copies of one datum), the right one from pairs z, z' at one w.
    """
    model = tiny_gmvae(4)
    x = tiny_data(1).expand(500, 2, 3)
    paper, stock = model.objective(), TraceEnum_ELBO(max_plate_nesting=1)
    with torch.no_grad():
        gaps = torch.tensor([value_at(s, paper, model, x) - value_at(s, stock, model, x) for s in range(40)]) / 500
        draws = ByHand(model, x[:1], 7, 20_000)
        other = draws.z_loc + draws.z_scale * torch.randn_like(draws.z)
        log_joint = normal_log_prob(other.unsqueeze(-2), draws.locs, draws.scales).sum(-1) - math.log(4)
    log_p, log_other = draws.log_weights, log_joint.log_softmax(-1)
    p, other = log_p.exp(), log_other.exp()
    covariance = 0.5 * ((p - other) * (draws.log_joint - log_joint)).sum(-1)  # unbiased, from two draws
    divergence = 0.5 * ((p * (log_p - log_other)).sum(-1) + (other * (log_other - log_p)).sum(-1))
    torch.testing.assert_close(covariance, divergence, rtol=1e-8, atol=1e-10)
    assert (divergence >= -1e-12).all()
    divergence = divergence.detach().flatten()
    assert divergence.mean() > 0.05  # the identity is not tested at zero
    error = divergence.std() / len(divergence) ** 0.5
    assert_close_in_standard_errors(gaps, divergence.mean(), other_error=error)


def one_dimensional() -> GMVAE:
    """latent_dim = style_dim = 1, and a guide wide enough for importance sampling."""
    network = {"kind": "mlp", "hidden_dims": [7], "activation": "tanh"}
    model = GMVAE((2, 3), 1, 3, 1, encoder=network, decoder=network, prior_network=network)
    with torch.no_grad():
        for parameter in (*model.prior_network.parameters(), *model.decoder.parameters()):
            parameter.mul_(2)
        model.encoder.layers[-1].bias.copy_(torch.tensor([0.0, 4.0, 0.0, 1.0]))
    return model.double()


def log_evidence_by_quadrature(model: GMVAE, x: torch.Tensor) -> torch.Tensor:
    """log p(x), [B], for latent_dim = style_dim = 1: a double sum over a grid of w and z."""
    w = torch.linspace(-7, 7, 301, dtype=torch.float64).unsqueeze(-1)
    z = torch.linspace(-25, 25, 4001, dtype=torch.float64).unsqueeze(-1)
    locs, raw_scales = model.prior_network(w).unbind(-3)  # [W, K, 1]
    scales = torch.nn.functional.softplus(raw_scales) + 1e-4
    log_prior_z = normal_log_prob(z.reshape(1, 1, -1), locs, scales).logsumexp(1) - math.log(model.num_components)
    log_prior_z = (log_prior_z + normal_log_prob(w, 0.0, 1.0)).logsumexp(0) + math.log(14 / 300)
    assert abs(log_prior_z.logsumexp(0) + math.log(50 / 4000)) < 1e-6, "the grid misses part of the prior"
    logits = model.decoder(z)[:, 0].flatten(1)  # [Z, 6]
    signs = 1 - 2 * x.flatten(1).unsqueeze(1)  # [B, 1, 6]
    log_likelihood = -torch.nn.functional.softplus(signs * logits).sum(-1)
    return (log_likelihood + log_prior_z).logsumexp(-1) + math.log(50 / 4000)


def test_equation_4_below_trace_enum_below_the_evidence():
    """Means of 50 runs with 200 particles; the order holds by more than 4.5 standard errors of each difference."""
    model = one_dimensional()
    x = tiny_data(4).round()
    evidence = log_evidence_by_quadrature(model, x).sum().item()
    paper = TraceDivergence_ELBO(model.objective().divergences, num_particles=200, max_plate_nesting=1)
    stock = TraceEnum_ELBO(num_particles=200, vectorize_particles=True, max_plate_nesting=1)
    bounds = torch.tensor([[-value_at(seed, elbo, model, x) for elbo in (paper, stock)] for seed in range(50)])
    for lower, upper in [(bounds[:, 0], bounds[:, 1]), (bounds[:, 1], torch.full((50,), evidence))]:
        gap = upper - lower
        assert gap.mean() > 4.5 * gap.std() / 50**0.5 > 0


@torch.no_grad()
def test_log_likelihood_against_quadrature():
    """Twenty estimates of 2,000 draws each: the mean of p(x)'s estimate is p(x), and its logarithm is close."""
    model, x = one_dimensional(), tiny_data(4).round()
    expected = log_evidence_by_quadrature(model, x)
    estimates = torch.stack([model.log_likelihood(x, 2000) for _ in range(20)])
    assert estimates.shape == (20, 4)
    assert_close_in_standard_errors((estimates - expected).exp(), torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close(estimates.mean(0), expected, rtol=0.0, atol=0.02)
