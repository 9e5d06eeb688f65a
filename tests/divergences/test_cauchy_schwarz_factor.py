"""The divergence as a site of a model: the same objective from stock Pyro."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
import pytest
import torch
from pyro.infer import Trace_ELBO

from pyro_mixvae.distributions import GaussianMixture
from pyro_mixvae.divergences import CauchySchwarzFactor, cauchy_schwarz


@pytest.fixture
def q():
    return dist.Normal(torch.randn(5, 2), torch.rand(5, 2) + 0.5).to_event(1)


@pytest.fixture
def p():
    return GaussianMixture(torch.zeros(3), torch.randn(3, 2), torch.ones(3, 2))


def test_log_factor_and_shapes(q, p):
    factor = CauchySchwarzFactor(q, p, 0.5)
    assert factor.batch_shape == (5,)
    assert factor.event_shape == (0,)
    assert factor.sample().shape == (5, 0)
    assert factor.sample(torch.Size([4])).shape == (4, 5, 0)
    torch.testing.assert_close(factor.log_prob(factor.sample()), -0.5 * cauchy_schwarz(q, p))
    assert factor.log_prob(factor.sample(torch.Size([4]))).shape == (4, 5)


def test_scale_is_a_tensor_too(q, p):
    scale = torch.tensor(0.3, requires_grad=True)
    log_prob = CauchySchwarzFactor(q, p, scale).log_prob(torch.empty(5, 0))
    (gradient,) = torch.autograd.grad(log_prob.sum(), scale)
    torch.testing.assert_close(gradient, -cauchy_schwarz(q, p).sum())
    assert CauchySchwarzFactor(q, p, torch.ones(4, 1)).batch_shape == (4, 5)


def test_expand_does_not_compute_again(q, p):
    factor = CauchySchwarzFactor(q, p, 0.5).expand([4, 5])
    assert isinstance(factor, CauchySchwarzFactor)
    assert factor.divergence.stride(0) == 0
    assert factor.batch_shape == factor.expand([4, 5]).batch_shape == (4, 5)
    assert factor.sample().shape == (4, 5, 0)
    torch.testing.assert_close(factor.log_prob(factor.sample()), -0.5 * cauchy_schwarz(q, p).expand(4, 5))


def test_estimate_where_no_closed_form_is_known(q):
    laplace = dist.Laplace(torch.zeros(2), torch.ones(2)).to_event(1)
    with pytest.raises(NotImplementedError, match="num_samples="):
        CauchySchwarzFactor(q, laplace)
    assert (CauchySchwarzFactor(q, laplace, num_samples=100).log_prob(torch.empty(5, 0)) < 0).all()


def test_negative_scale_is_refused(q, p):
    with pytest.raises(ValueError, match="scale"):
        CauchySchwarzFactor(q, p, -1.0, validate_args=True)


def test_site_in_plates_is_expanded(p):
    q = dist.Normal(torch.zeros(2), torch.ones(2)).to_event(1)

    def model():
        with pyro.plate("outer", 3, dim=-2), pyro.plate("data", 5, dim=-1):
            factor = CauchySchwarzFactor(q, p, 2.0)
            pyro.sample("divergence", factor, obs=factor.sample())

    trace = poutine.trace(model).get_trace()
    assert trace.nodes["divergence"]["fn"].batch_shape == (3, 5)
    torch.testing.assert_close(trace.log_prob_sum(), -2 * 15 * cauchy_schwarz(q, p))


def test_stock_trace_elbo_has_value_and_gradient_of_the_objective(p):
    """E_q log p(x|z) - scale * D_CS(q, p): one sample, the same seed, against the sum written by hand."""
    loc, x = torch.randn(5, 2, requires_grad=True), torch.randn(5, 2)

    def posterior():
        return dist.Normal(loc, torch.full((5, 2), 0.3)).to_event(1)

    def model():
        with pyro.plate("data", 5):
            z = pyro.sample("z", p.mask(False))
            factor = CauchySchwarzFactor(posterior(), p, 0.7)
            pyro.sample("z_divergence", factor, obs=factor.sample())
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)

    def guide():
        with pyro.plate("data", 5):
            pyro.sample("z", posterior().mask(False))

    pyro.set_rng_seed(1)
    loss = Trace_ELBO().differentiable_loss(model, guide)
    pyro.set_rng_seed(1)
    q = posterior()
    objective = dist.Normal(q.rsample(), 1.0).to_event(1).log_prob(x) - 0.7 * cauchy_schwarz(q, p)
    torch.testing.assert_close(loss, -objective.sum())
    gradients = [torch.autograd.grad(value, loc)[0] for value in (loss, -objective.sum())]
    torch.testing.assert_close(*gradients)
