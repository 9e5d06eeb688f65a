"""Closed forms of the Cauchy-Schwarz divergence: batteries, quadrature, limits, and what they cost."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import cubature
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal
from torch.fx.experimental.proxy_tensor import make_fx

from pyro_mixvae.distributions import GaussianMixture
from pyro_mixvae.divergences import cauchy_schwarz, cauchy_schwarz_gaussian
from pyro_mixvae.divergences import log_row_sums as row_sums
from pyro_mixvae.testing import CauchySchwarzChecks


def mixture_parameters(batch_shape: tuple[int, ...], num_components: int, num_dims: int) -> dict[str, Tensor]:
    shape = (*batch_shape, num_components, num_dims)
    return {
        "logits": torch.randn(*batch_shape, num_components, dtype=torch.float64),
        "locs": torch.randn(shape, dtype=torch.float64),
        "scales": 0.5 + torch.rand(shape, dtype=torch.float64),
    }


def normal_parameters(batch_shape: tuple[int, ...]) -> dict[str, Tensor]:
    return {
        "loc": torch.randn(batch_shape, dtype=torch.float64),
        "scale": 0.5 + torch.rand(batch_shape, dtype=torch.float64),
    }


def random_mixture(num_components: int, num_dims: int, batch_shape: tuple[int, ...] = ()) -> GaussianMixture:
    return GaussianMixture(**mixture_parameters(batch_shape, num_components, num_dims))


class TestNormals(CauchySchwarzChecks):
    make_q = make_p = staticmethod(dist.Normal)
    q_parameters = p_parameters = staticmethod(normal_parameters)


class TestIndependentNormals(CauchySchwarzChecks):
    @staticmethod
    def make_q(loc: Tensor, scale: Tensor) -> Independent:
        return dist.Normal(loc, scale).to_event(1)

    make_p = make_q

    def q_parameters(self, batch_shape):
        return normal_parameters((*batch_shape, 3))

    p_parameters = q_parameters


class TestMultivariateNormals(CauchySchwarzChecks):
    @staticmethod
    def make_q(loc: Tensor, factor: Tensor) -> MultivariateNormal:
        covariance = factor @ factor.mT + 0.5 * torch.eye(loc.shape[-1], dtype=loc.dtype)
        return dist.MultivariateNormal(loc, covariance)

    make_p = make_q

    def q_parameters(self, batch_shape):
        loc = torch.randn(*batch_shape, 3, dtype=torch.float64)
        return {"loc": loc, "factor": 0.5 * torch.randn(*batch_shape, 3, 3, dtype=torch.float64)}

    p_parameters = q_parameters


class TestMixtures(CauchySchwarzChecks):
    make_q = make_p = GaussianMixture
    location = "locs"

    def q_parameters(self, batch_shape):
        return mixture_parameters(batch_shape, 3, 2)

    def p_parameters(self, batch_shape):
        return mixture_parameters(batch_shape, 4, 2)


class TestNormalAndMixture(TestIndependentNormals):
    make_p = GaussianMixture

    def p_parameters(self, batch_shape):
        return mixture_parameters(batch_shape, 4, 3)


class TestMixtureAndNormal(TestIndependentNormals):
    make_q = GaussianMixture
    location = "locs"

    def q_parameters(self, batch_shape):
        return mixture_parameters(batch_shape, 4, 3)

    def p_parameters(self, batch_shape):
        return normal_parameters((*batch_shape, 3))


# Against adaptive quadrature.


def by_quadrature(q, p) -> float:
    """The definition, each integral by adaptive quadrature over [-14, 14]^D, beyond which nothing is left."""
    num_dims = q.event_shape[0]

    def log_integral(a, b) -> float:
        def product(z: np.ndarray) -> np.ndarray:
            point = torch.from_numpy(z)
            return (a.log_prob(point) + b.log_prob(point)).exp().numpy()

        result = cubature(product, [-14] * num_dims, [14] * num_dims, rtol=1e-9, atol=1e-11)
        assert result.status == "converged"
        return math.log(result.estimate)

    return -log_integral(q, p) + 0.5 * log_integral(q, q) + 0.5 * log_integral(p, p)


@pytest.mark.parametrize("num_dims", [1, 2])
@pytest.mark.parametrize(("num_q", "num_p"), [(1, 1), (1, 4), (2, 3), (5, 2)])
def test_mixtures_against_quadrature(num_q, num_p, num_dims):
    q, p = random_mixture(num_q, num_dims), random_mixture(num_p, num_dims)
    assert float(cauchy_schwarz(q, p)) == pytest.approx(by_quadrature(q, p), abs=1e-6)


@pytest.mark.parametrize("num_dims", [1, 2])
def test_normals_and_a_mixture_against_quadrature(num_dims):
    q, p = (dist.Normal(**normal_parameters((num_dims,))).to_event(1) for _ in range(2))
    assert float(cauchy_schwarz(q, p)) == pytest.approx(by_quadrature(q, p), abs=1e-6)
    mixture = random_mixture(3, num_dims)
    assert float(cauchy_schwarz(q, mixture)) == pytest.approx(by_quadrature(q, mixture), abs=1e-6)


def test_multivariate_normals_against_quadrature():
    q, p = (TestMultivariateNormals.make_q(torch.randn(2).double(), torch.randn(2, 2).double()) for _ in range(2))
    assert float(cauchy_schwarz(q, p)) == pytest.approx(by_quadrature(q, p), abs=1e-6)


# The same value by other routes.


def test_multivariate_normals_with_diagonal_covariance_are_normals():
    pairs = [tuple(normal_parameters((5, 3)).values()) for _ in range(2)]
    full = cauchy_schwarz(*(MultivariateNormal(loc, scale_tril=torch.diag_embed(scale)) for loc, scale in pairs))
    diagonal = cauchy_schwarz(*(Independent(Normal(loc, scale), 1) for loc, scale in pairs))
    torch.testing.assert_close(full, diagonal)


def test_printed_formula_of_the_mixture_prior():
    """SPEC, section 4: Gaussian q against the equally weighted mixture."""
    loc, scale = torch.randn(6, 3, dtype=torch.float64), torch.rand(6, 3, dtype=torch.float64) + 0.1
    locs, scales = torch.randn(4, 3, dtype=torch.float64), torch.rand(4, 3, dtype=torch.float64) + 0.1

    def density(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        return Normal(mean, variance.sqrt()).log_prob(x).sum(-1).exp()

    cross = density(loc[:, None], locs, scale[:, None] ** 2 + scales**2).mean(-1)
    own = density(torch.zeros(3).double(), torch.zeros(3).double(), 2 * scale**2)
    prior = density(locs[:, None], locs, scales[:, None] ** 2 + scales**2).mean()
    expected = -cross.log() + 0.5 * own.log() + 0.5 * prior.log()
    q = dist.Normal(loc, scale).to_event(1)
    p = GaussianMixture(torch.zeros(4).double(), locs, scales)
    torch.testing.assert_close(cauchy_schwarz(q, p), expected)


def test_one_component_is_a_normal():
    loc, scale = torch.randn(5, 3), torch.rand(5, 3) + 0.5
    normal = dist.Normal(loc, scale).to_event(1)
    mixture = GaussianMixture(torch.zeros(5, 1), loc.unsqueeze(-2), scale.unsqueeze(-2))
    other = dist.Normal(torch.zeros(3), torch.ones(3)).to_event(1)
    torch.testing.assert_close(cauchy_schwarz(mixture, other), cauchy_schwarz(normal, other))


@pytest.mark.parametrize("other", ["normal", "mixture", "torch"])
def test_mixtures_of_torch(other):
    logits, locs, scales = mixture_parameters((5,), 3, 2).values()
    own = GaussianMixture(logits, locs, scales)
    torchs = MixtureSameFamily(Categorical(logits=logits), Independent(Normal(locs, scales), 1))
    p, q = random_mixture(4, 2), random_mixture(4, 2)
    if other == "normal":
        p = q = dist.Normal(torch.zeros(2).double(), torch.ones(2).double()).to_event(1)
    elif other == "mixture":
        q = p
    else:
        q = MixtureSameFamily(Categorical(logits=p.logits), Independent(Normal(p.locs, p.scales), 1))
    torch.testing.assert_close(cauchy_schwarz(torchs, q), cauchy_schwarz(own, p))
    torch.testing.assert_close(cauchy_schwarz(q, torchs), cauchy_schwarz(own, p))


def test_scalar_mixture_of_torch_against_a_scalar_normal():
    logits, locs, scales = mixture_parameters((5,), 3, 1).values()
    scalar = MixtureSameFamily(Categorical(logits=logits), Normal(locs.squeeze(-1), scales.squeeze(-1)))
    normal = Normal(torch.zeros(()).double(), torch.ones(()).double())
    expected = cauchy_schwarz(GaussianMixture(logits, locs, scales), Independent(normal.expand([1]), 1))
    torch.testing.assert_close(cauchy_schwarz(scalar, normal), expected)


def test_other_mixtures_of_torch_are_refused():
    mixture = MixtureSameFamily(Categorical(torch.ones(2)), torch.distributions.Laplace(torch.zeros(2), 1.0))
    with pytest.raises(NotImplementedError, match="MixtureSameFamily and Normal"):
        cauchy_schwarz(mixture, Normal(0.0, 1.0))


# Limits.


def test_zero_for_equal_mixtures_with_permuted_components():
    parameters = mixture_parameters((7,), 5, 3)
    order = torch.randperm(5)
    permuted = {name: tensor[:, order] for name, tensor in parameters.items()}
    leaves = {name: tensor.requires_grad_() for name, tensor in parameters.items()}
    divergence = cauchy_schwarz(GaussianMixture(**leaves), GaussianMixture(**permuted))
    torch.testing.assert_close(divergence, torch.zeros_like(divergence), atol=1e-14, rtol=0)
    for gradient in torch.autograd.grad(divergence.sum(), list(leaves.values())):
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-13, rtol=0)


def test_zero_for_equal_mixtures_in_single_precision():
    """What rounding leaves: some units in the last place of one, although the scales are 0.001."""
    logits, locs, scales = (t.float() for t in mixture_parameters((50,), 100, 20).values())
    mixture = GaussianMixture(logits, 1e-3 * locs, 1e-3 * scales)
    order = torch.randperm(100)
    permuted = GaussianMixture(logits[:, order], 1e-3 * locs[:, order], 1e-3 * scales[:, order])
    divergence = cauchy_schwarz(mixture, permuted)
    assert (divergence >= 0).all()
    assert (divergence < 5e-6).all()


def test_normals_keep_their_digits_where_the_divergence_is_small():
    """Scales that differ by one part in a thousand: the divergence 2.5e-7 to the last digits of float32."""
    q, p = Normal(torch.tensor(0.0), torch.tensor(1.0)), Normal(torch.tensor(0.0), torch.tensor(1.001))
    double = cauchy_schwarz(Normal(q.loc.double(), q.scale.double()), Normal(p.loc.double(), p.scale.double()))
    torch.testing.assert_close(cauchy_schwarz(q, p).double(), double, rtol=5e-7, atol=0)
    s = p.scale.double()
    torch.testing.assert_close(double, 0.5 * ((1 + s**2) / (2 * s)).log(), rtol=1e-8, atol=1e-16)


def test_scale_and_place_do_not_matter():
    logits, locs, scales = mixture_parameters((), 3, 2).values()
    loc, scale = normal_parameters((2,)).values()
    stretch, shift = torch.tensor([1e-3, 1e2]).double(), torch.tensor([5.0, -40.0]).double()
    one = cauchy_schwarz(dist.Normal(loc, scale).to_event(1), GaussianMixture(logits, locs, scales))
    other = cauchy_schwarz(
        dist.Normal(loc * stretch + shift, scale * stretch).to_event(1),
        GaussianMixture(logits, locs * stretch + shift, scales * stretch),
    )
    torch.testing.assert_close(one, other)


def test_component_of_weight_zero_does_not_enter():
    logits, locs, scales = mixture_parameters((), 4, 2).values()
    q = random_mixture(3, 2)
    expected = cauchy_schwarz(q, GaussianMixture(logits[:3], locs[:3], scales[:3]))
    logits[3] = -math.inf
    leaves = [t.requires_grad_() for t in (logits, locs, scales)]
    divergence = cauchy_schwarz(q, GaussianMixture(*leaves, validate_args=False))
    torch.testing.assert_close(divergence, expected)
    for gradient in torch.autograd.grad(divergence, leaves):
        assert gradient.isfinite().all()
        assert (gradient[3] == 0).all()


@settings(deadline=None, max_examples=40)
@given(
    batch=st.sampled_from([((), ()), ((3,), ()), ((2, 1), (3,)), ((), (2, 3)), ((4, 1, 1), (2, 3))]),
    sizes=st.tuples(*[st.integers(1, 4)] * 3),
    log_scales=st.tuples(*[st.floats(-6, 6)] * 2),
    distance=st.floats(0, 1e4),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_any_shape_and_extreme_parameters(batch, sizes, log_scales, distance, dtype):
    """Scales from 1e-6 to 1e6: finite, not negative, symmetric, and so is the gradient."""
    num_q, num_p, num_dims = sizes
    leaves = [
        (factor * tensor).to(dtype).requires_grad_()
        for shape, number, log_scale in ((batch[0], num_q, log_scales[0]), (batch[1], num_p, log_scales[1]))
        for tensor, factor in zip(
            mixture_parameters(shape, number, num_dims).values(), (1, distance, 10**log_scale), strict=True
        )
    ]
    q, p = GaussianMixture(*leaves[:3]), GaussianMixture(*leaves[3:])
    divergence = cauchy_schwarz(q, p)
    assert divergence.shape == torch.broadcast_shapes(*batch)
    assert divergence.dtype == dtype
    assert divergence.isfinite().all()
    assert (divergence >= 0).all()
    torch.testing.assert_close(divergence, cauchy_schwarz(p, q), rtol=1e-4, atol=1e-4)
    for gradient in torch.autograd.grad(divergence.sum(), leaves):
        assert gradient.isfinite().all()


def test_empty_batch():
    """Unvalidated, as torch's own check of constraints fails without elements."""
    q = dist.Normal(torch.zeros(0, 2).double(), torch.ones(0, 2).double()).to_event(1)
    empty = GaussianMixture(**mixture_parameters((0,), 3, 2), validate_args=False)
    for p in (q, random_mixture(3, 2), empty):
        assert cauchy_schwarz(q, p).shape == cauchy_schwarz(p, q).shape == (0,)
    assert cauchy_schwarz(empty, random_mixture(3, 2)).shape == (0,)
    prior = [tensor.requires_grad_() for tensor in mixture_parameters((), 3, 2).values()]
    for gradient in torch.autograd.grad(cauchy_schwarz(q, GaussianMixture(*prior)).sum(), prior):
        assert (gradient == 0).all()


# What it costs.


@pytest.fixture
def pairs(monkeypatch):
    """The number of pairs of components that were compared, call by call."""
    counts = []
    compare = row_sums.pairwise

    def counted(*parameters: Tensor) -> Tensor:
        result = compare(*parameters)
        counts.append(result.numel())
        return result

    monkeypatch.setattr(row_sums, "pairwise", counted)
    return counts


@pytest.mark.parametrize("expand", ["distribution", "parameters", "not"])
def test_prior_in_a_plate_is_compared_with_itself_once(pairs, expand):
    """B = 100, K = 400: at most K^2 pairs of the prior, and B K between posterior and prior, none of B K^2."""
    B, K, D = 100, 400, 2
    posterior = dist.Normal(torch.randn(B, D), torch.ones(B, D)).to_event(1)
    parameters = torch.zeros(K), torch.randn(K, D), torch.ones(K, D)
    if expand == "parameters":
        parameters = tuple(tensor.expand(B, *tensor.shape) for tensor in parameters)
    prior = GaussianMixture(*parameters)
    if expand == "distribution":
        prior = prior.expand([B])
    divergence = cauchy_schwarz(posterior, prior)
    assert divergence.shape == (B,)
    assert sorted(pairs) == [B * K, K * K]


def test_a_posterior_of_its_own_for_each_datum_is_not_taken_for_shared():
    q = random_mixture(2, 3, (4,))
    p = random_mixture(3, 3, (4,))
    expected = [
        cauchy_schwarz(GaussianMixture(*(t[i] for t in (q.logits, q.locs, q.scales))), p.expand([4]))[i]
        for i in range(4)
    ]
    torch.testing.assert_close(cauchy_schwarz(q, p), torch.stack(expected))


@pytest.mark.parametrize("batch", [((), ()), ((6,), ()), ((), (6,)), ((2, 1), (3,))])
@pytest.mark.parametrize("block", [1, 100, 300])
def test_blocks_change_neither_value_nor_gradient(monkeypatch, pairs, block, batch):
    def value_and_gradients(*leaves: Tensor) -> tuple[Tensor, ...]:
        value = cauchy_schwarz(GaussianMixture(*leaves[:3]), GaussianMixture(*leaves[3:]))
        return value, *torch.autograd.grad(value.sum(), leaves)

    leaves = [
        tensor.requires_grad_()
        for shape, number in zip(batch, (7, 11), strict=True)
        for tensor in mixture_parameters(shape, number, 3).values()
    ]
    whole = value_and_gradients(*leaves)
    num_calls = len(pairs)
    assert num_calls > 0
    monkeypatch.setattr(cauchy_schwarz_gaussian, "MAX_BLOCK", block)
    torch.testing.assert_close(value_and_gradients(*leaves), whole)
    assert len(pairs) > num_calls + 2


def test_blocks_compute_about_half_the_pairs_of_the_self_term(monkeypatch, pairs):
    mixture = random_mixture(100, 2)
    monkeypatch.setattr(cauchy_schwarz_gaussian, "MAX_BLOCK", 100 * 2 * 5)
    with torch.no_grad():
        cauchy_schwarz(mixture, dist.Normal(torch.zeros(2).double(), 1).to_event(1))
    assert sum(pairs) == 100 + sum(5 * (100 - start) for start in range(0, 100, 5))


@pytest.mark.parametrize("block", [2**20, 400])
def test_captured_with_its_gradient(monkeypatch, block):
    """``make_fx`` records no branch on data: the graph is right for other values, block by block or not."""
    monkeypatch.setattr(cauchy_schwarz_gaussian, "MAX_BLOCK", block)

    def loss_and_gradients(loc: Tensor, scale: Tensor, *prior: Tensor) -> tuple[Tensor, ...]:
        q = Independent(Normal(loc, scale, validate_args=False), 1, validate_args=False)
        p = GaussianMixture(*prior, validate_args=False).expand(loc.shape[:1])
        loss = cauchy_schwarz(q, p).mean()
        return loss, *torch.autograd.grad(loss, (loc, scale, *prior))

    def arguments() -> list[Tensor]:
        leaves = (*normal_parameters((5, 3)).values(), *mixture_parameters((), 20, 3).values())
        return [tensor.requires_grad_() for tensor in leaves]

    graph = make_fx(loss_and_gradients)(*arguments())
    fresh = arguments()
    torch.testing.assert_close(graph(*fresh), loss_and_gradients(*fresh))


MEASURE = """
import resource, torch, pyro.distributions as dist
from pyro_mixvae.distributions import GaussianMixture
from pyro_mixvae.divergences import cauchy_schwarz
torch.set_num_threads(1)
def peak(K, B=100, D=40):
    prior = [torch.zeros(K), torch.randn(K, D), torch.rand(K, D) + 0.5]
    leaves = [t.requires_grad_() for t in (torch.randn(B, D), torch.rand(B, D) + 0.5, *prior)]
    q = dist.Normal(*leaves[:2]).to_event(1)
    cauchy_schwarz(q, GaussianMixture(*leaves[2:]).expand([B])).mean().backward()
    assert all(t.grad.isfinite().all() for t in leaves)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
small = peak(8)
print(peak({num_components}) - small)
"""


@pytest.mark.parametrize("num_components", [1024, pytest.param(4096, marks=pytest.mark.slow)])
def test_memory_is_bounded_gradients_included(num_components):
    """16.8 million pairs of 40 dimensions each are 2.7 GB for every intermediate result, all at once."""
    code = MEASURE.replace("{num_components}", str(num_components))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 1e9


@pytest.mark.parametrize("log_unit", [-6.0, 0.0, 5.0])
def test_single_precision_does_not_depend_on_the_unit(log_unit):
    """Logarithms of variances far from 1 would cancel and take digits with them."""
    torch.manual_seed(1)
    logits, locs = torch.randn(50), torch.randn(50, 100)
    scales = (0.1 * torch.randn(50, 100) + log_unit).exp()
    locs = locs * scales
    loc = locs[:20] + 0.1 * scales[:20] * torch.randn(20, 100)

    def divergence(dtype: torch.dtype) -> torch.Tensor:
        q = dist.Normal(loc.to(dtype), 1.1 * scales[:20].to(dtype)).to_event(1)
        return cauchy_schwarz(q, GaussianMixture(logits.to(dtype), locs.to(dtype), scales.to(dtype))).double()

    assert (divergence(torch.float32) - divergence(torch.float64)).abs().max() < 2e-5
