"""GaussianMixture: the battery, its density by every route, its gradients, and its bounds on memory."""

from __future__ import annotations

import math
import subprocess
import sys

import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyro.infer import SVI, Trace_ELBO
from torch.fx.experimental.proxy_tensor import make_fx

from pyro_mixvae.distributions import GaussianMixture, component_densities
from pyro_mixvae.distributions.component_densities import log_responsibilities
from pyro_mixvae.testing import DistributionChecks, assert_close_in_standard_errors


def random_parameters(batch_shape, num_components, dim, dtype=torch.float64):
    logits = torch.randn(*batch_shape, num_components, dtype=dtype)
    locs = torch.randn(*batch_shape, num_components, dim, dtype=dtype)
    scales = torch.empty(*batch_shape, num_components, dim, dtype=dtype).uniform_(0.5, 1.5)
    return logits, locs, scales


def reference(mixture):
    """The same distribution by PyTorch's own classes, in double precision."""
    normals = dist.Normal(mixture.locs.double(), mixture.scales.double()).to_event(1)
    return torch.distributions.MixtureSameFamily(dist.Categorical(logits=mixture.logits.double()), normals)


class Battery(DistributionChecks):
    distribution = GaussianMixture
    num_components: int
    dim: int

    def parameters(self, batch_shape, dtype):
        parameters = random_parameters(batch_shape, self.num_components, self.dim, dtype)
        return dict(zip(("logits", "locs", "scales"), parameters, strict=True))


class TestBatteryInOneDimension(Battery):
    num_components, dim = 3, 1


class TestBatteryInTwoDimensions(Battery):
    num_components, dim = 4, 2


class TestBatteryInFourDimensions(Battery):
    num_components, dim = 3, 4


class TestBatteryOfOneComponent(Battery):
    num_components, dim = 1, 2


# The density.


@given(
    st.sampled_from([(), (3,), (2, 3)]),
    st.integers(1, 5),
    st.integers(1, 4),
    st.sampled_from([(), (4,), (5, 1)]),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
@settings(deadline=None, max_examples=40)
def test_parameters_broadcast(batch_shape, num_components, dim, sample_shape, batched):
    parameters = (
        p if own else p[(0,) * len(batch_shape)]
        for p, own in zip(random_parameters(batch_shape, num_components, dim), batched, strict=True)
    )
    mixture = GaussianMixture(*parameters)
    assert mixture.batch_shape == (batch_shape if any(batched) else ())
    assert mixture.logits.shape == (*mixture.batch_shape, num_components)
    assert mixture.locs.shape == mixture.scales.shape == (*mixture.batch_shape, num_components, dim)
    value = torch.randn(*sample_shape, *batch_shape, dim, dtype=torch.float64)
    torch.testing.assert_close(mixture.log_prob(value), reference(mixture).log_prob(value))
    assert mixture.rsample(sample_shape).shape == (*sample_shape, *mixture.batch_shape, dim)
    torch.testing.assert_close(mixture.mean, reference(mixture).mean)
    torch.testing.assert_close(mixture.variance, reference(mixture).variance)


def test_logits_are_normalised():
    mixture = GaussianMixture(torch.tensor([1.0, 1.0]), torch.zeros(2, 1), torch.ones(2, 1))
    torch.testing.assert_close(mixture.logits.exp(), torch.tensor([0.5, 0.5]))


@pytest.fixture
def small_limits(monkeypatch):
    """Every route is taken for small problems."""
    monkeypatch.setattr(component_densities, "PLAIN_ELEMENTS", 1)
    monkeypatch.setattr(component_densities, "CHUNK_ELEMENTS", 64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("component_shape", [(), (1,), (5,), (4, 1), (4, 5)])
def test_chunks_and_products_agree_with_the_broadcast(small_limits, dtype, component_shape):
    """Values, responsibilities and gradients, with components shared, partly shared or batched."""
    value = torch.randn(4, 5, 3, dtype=dtype, requires_grad=True)
    parameters = [p.requires_grad_() for p in random_parameters(component_shape, 7, 3, dtype)]
    weight = torch.randn(4, 5, dtype=dtype)
    mixture = GaussianMixture(*parameters)
    double = [p.detach().double().requires_grad_() for p in (value, *parameters)]
    expected = reference(GaussianMixture(*double[1:])).log_prob(double[0])
    tolerance = {torch.float32: 1e-4, torch.float64: 1e-10}[dtype]
    torch.testing.assert_close(mixture.log_prob(value).double(), expected, atol=tolerance, rtol=0)
    joint = double[1].log_softmax(-1) + dist.Normal(*double[2:]).log_prob(double[0].unsqueeze(-2)).sum(-1)
    responsibilities = mixture.responsibilities(value).double()
    torch.testing.assert_close(responsibilities, joint.softmax(-1), atol=tolerance, rtol=0)
    gradients = torch.autograd.grad((weight * mixture.log_prob(value)).sum(), (value, *parameters))
    exact = torch.autograd.grad((weight.double() * expected).sum(), double)
    for gradient, other in zip(gradients, exact, strict=True):
        torch.testing.assert_close(gradient.double(), other, atol=5 * tolerance, rtol=1e-4)


def test_second_derivatives_through_chunks(small_limits):
    value = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    parameters = [p.requires_grad_() for p in random_parameters((4,), 9, 2)]
    assert torch.autograd.gradgradcheck(
        lambda value, *p: GaussianMixture(*p, validate_args=False).log_prob(value), (value, *parameters)
    )


@pytest.mark.parametrize("log10_scale", [0, -1, -2, -3])
@pytest.mark.parametrize("num_components", [400, 4096])
def test_single_precision_is_within_a_thousandth_of_a_nat(num_components, log10_scale):
    """Far from the origin too, where expanded squares would cancel without a centre."""
    locs = 3 + torch.randn(num_components, 40)
    scales = 10.0**log10_scale * torch.empty(num_components, 40).uniform_(1, 2)
    mixture = GaussianMixture(torch.randn(num_components), locs, scales)
    value = torch.cat([mixture.sample((50,)), 3 + torch.randn(50, 40)])
    exact = GaussianMixture(mixture.logits.double(), locs.double(), scales.double()).log_prob(value.double())
    error = (mixture.log_prob(value).double() - exact).abs()
    assert (error[:50] < 1e-3).all()
    assert (error < 1e-3 + 1e-6 * exact.abs()).all()


@pytest.mark.parametrize("num_components", [3, 5000])
def test_nothing_underflows_fifty_deviations_away(num_components):
    value = torch.full((100, 8), 52.0, requires_grad=True)
    parameters = [
        torch.zeros(num_components),
        torch.empty(num_components, 8).uniform_(-1, 1),
        torch.ones(num_components, 8),
    ]
    parameters = [p.requires_grad_() for p in parameters]
    mixture = GaussianMixture(*parameters)
    log_prob = mixture.log_prob(value)
    assert (log_prob < -8 * 50**2 / 2).all()
    torch.testing.assert_close(log_prob.double(), reference(mixture).log_prob(value.double()))
    torch.testing.assert_close(mixture.responsibilities(value).sum(-1), torch.ones(100))
    for gradient in torch.autograd.grad(log_prob.sum(), (value, *parameters)):
        assert gradient.isfinite().all()


def test_components_without_weight(small_limits):
    """Whole chunks of them give neither NaN nor gradient."""
    logits = torch.full((9,), -torch.inf)
    logits[4] = 0.0
    logits.requires_grad_()
    locs, scales = torch.randn(9, 8), torch.ones(9, 8)
    value = torch.randn(3, 8)
    log_prob = GaussianMixture(logits, locs, scales).log_prob(value)
    torch.testing.assert_close(log_prob, dist.Normal(locs[4], scales[4]).to_event(1).log_prob(value))
    (gradient,) = torch.autograd.grad(log_prob.sum(), logits)
    torch.testing.assert_close(gradient, torch.zeros(9), atol=1e-5, rtol=0)


# Batches that only repeat.


def test_expanded_parameters_are_counted_once():
    logits, locs, scales = random_parameters((), 4, 2)
    by_method = GaussianMixture(logits, locs, scales).expand((5, 100))
    by_tensor = GaussianMixture(logits.expand(100, 4), locs.expand(100, 4, 2), scales.expand(100, 4, 2))
    assert by_method.collapse().batch_shape == ()
    assert by_tensor.batch_shape == (100,)
    assert by_tensor.collapse().batch_shape == (1,)
    assert by_method.locs.stride()[:2] == (0, 0)
    value = torch.randn(100, 2, dtype=torch.float64)
    torch.testing.assert_close(by_method.log_prob(value)[3], by_tensor.log_prob(value))


def test_a_common_value_has_the_whole_batch_shape():
    mixture = GaussianMixture(*random_parameters((), 4, 2)).expand((3,))
    assert mixture.log_prob(torch.zeros(2, dtype=torch.float64)).shape == (3,)
    assert mixture.responsibilities(torch.zeros(2, dtype=torch.float64)).shape == (3, 4)


def test_a_shared_mixture_never_makes_the_full_broadcast():
    """Bytes kept for the backward pass at B = 100, K = 4,096, D = 40; the broadcast keeps 131 MB at least."""
    kept = 0

    def count(tensor):
        nonlocal kept
        kept += tensor.untyped_storage().nbytes()
        return tensor

    parameters = [p.requires_grad_() for p in random_parameters((), 4096, 40, torch.float32)]
    mixture = GaussianMixture(*parameters).expand((100,))
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        mixture.log_prob(torch.randn(100, 40)).sum().backward()
    assert kept < 40e6


MEMORY = """
import resource, sys, torch
from pyro_mixvae.distributions import GaussianMixture

def run(num_data, num_components, dim, batched):
    batch = (num_data,) if batched else ()
    leaves = [torch.randn(num_data, dim), torch.randn(*batch, num_components)]
    leaves += [torch.randn(*batch, num_components, dim), torch.rand(*batch, num_components, dim) + 0.5]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    gradients = torch.autograd.grad(GaussianMixture(*leaves[1:]).log_prob(leaves[0]).sum(), leaves)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return peak / 1024 - sum(gradient.untyped_storage().nbytes() for gradient in gradients) / 2**20

torch.set_num_threads(1)
run(30, 1024, 20, False), run(30, 1024, 20, True)
print(run(100, 4096, 40, sys.argv[1] == "batched"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["shared", "batched"])
def test_memory_stays_below_300_megabytes(kind):
    """Peak resident memory of log-density and gradients, beyond the gradients themselves."""
    result = subprocess.run(
        [sys.executable, "-c", MEMORY, kind], capture_output=True, text=True, check=True, timeout=300
    )
    assert float(result.stdout) < 300


# Samples.


def closed_form(logits, locs, scales, direction):
    """E cos(a z + 1/3) = sum_k pi_k exp(-|a s_k|^2 / 2) cos(a m_k + 1/3)."""
    damping = torch.exp(-0.5 * (direction * scales).square().sum(-1))
    return (logits.softmax(-1) * damping * torch.cos((direction * locs).sum(-1) + 1 / 3)).sum(-1)


@pytest.mark.parametrize("dim", range(1, 9))
def test_gradients_of_samples_are_exact_in_expectation(dim):
    """In weights, means and scales of each entry of a batch; each draw has its own gradient."""
    num_samples, num_components = 10_000, 3
    parameters = [p.requires_grad_() for p in random_parameters((2,), num_components, dim)]
    direction = torch.linspace(0.5, 1.0, dim, dtype=torch.float64) / dim**0.5
    exact = torch.autograd.grad(closed_form(*parameters, direction).sum(), parameters)
    own = [p.detach().expand(num_samples, *p.shape).clone().requires_grad_() for p in parameters]
    z = GaussianMixture(*own).rsample()
    gradients = torch.autograd.grad(torch.cos((direction * z).sum(-1) + 1 / 3).sum(), own)
    for gradient, wanted in zip(gradients, exact, strict=True):
        assert_close_in_standard_errors(gradient, wanted)


@pytest.mark.parametrize("dim", [1, 3])
def test_batched_parameters_with_a_sample_shape(dim):
    """Sums over the draws give the same gradient as parameters of their own for each draw."""
    logits, locs, scales = (p.requires_grad_() for p in random_parameters((2,), 3, dim))
    direction = torch.ones(dim, dtype=torch.float64)
    exact = torch.autograd.grad(closed_form(logits, locs, scales, direction).sum(), (logits, locs, scales))
    blocks = []
    for _ in range(50):
        z = GaussianMixture(logits, locs, scales).rsample((20, 20))
        value = torch.cos((direction * z).sum(-1) + 1 / 3).mean((0, 1)).sum()
        blocks.append(torch.autograd.grad(value, (logits, locs, scales)))
    for gradients, wanted in zip(zip(*blocks, strict=True), exact, strict=True):
        assert_close_in_standard_errors(torch.stack(gradients), wanted)


def test_gradients_with_shared_components_and_batched_weights():
    logits = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    _, locs, scales = (p.requires_grad_() for p in random_parameters((), 3, 2))
    GaussianMixture(logits, locs, scales).rsample((5,)).sum().backward()
    assert logits.grad.shape == (2, 3)
    assert locs.grad.shape == scales.grad.shape == (3, 2)


def test_samples_without_gradients_are_plain():
    parameters = random_parameters((), 3, 2)
    assert not GaussianMixture(*parameters).rsample().requires_grad
    with_gradient = GaussianMixture(*(p.requires_grad_() for p in parameters))
    assert not with_gradient.sample().requires_grad
    assert with_gradient.rsample().requires_grad


def test_the_values_of_samples_are_those_of_the_plain_draw():
    parameters = random_parameters((), 3, 2)
    torch.manual_seed(1)
    plain = GaussianMixture(*parameters).rsample((10,))
    torch.manual_seed(1)
    assert torch.equal(GaussianMixture(*(p.requires_grad_() for p in parameters)).rsample((10,)), plain)


@pytest.mark.parametrize("distance", [1.0, 100.0, 1e6])
def test_single_precision_gradients_of_samples_are_finite(distance):
    parameters = [torch.zeros(2), torch.tensor([[-distance] * 8, [distance] * 8]), torch.full((2, 8), 0.1)]
    parameters = [p.requires_grad_() for p in parameters]
    z = GaussianMixture(*parameters).rsample((1000,))
    assert z.isfinite().all()
    for gradient in torch.autograd.grad(z.sum(), parameters):
        assert gradient.isfinite().all()


# Parts, errors, and uses.


def test_components_and_responsibilities():
    mixture = GaussianMixture(*random_parameters((2,), 3, 4))
    value = torch.randn(5, 2, 4, dtype=torch.float64)
    joint = torch.stack([mixture.component(k).log_prob(value) for k in range(3)], -1) + mixture.logits
    torch.testing.assert_close(mixture.log_prob(value), joint.logsumexp(-1))
    torch.testing.assert_close(mixture.responsibilities(value), joint.softmax(-1))
    torch.testing.assert_close(mixture.log_responsibilities(value), joint.log_softmax(-1))
    assert torch.equal(mixture.component(-1).mean, mixture.component(2).mean)
    with pytest.raises(IndexError, match="k must be below 3, the number of components, got 3"):
        mixture.component(3)


@pytest.mark.parametrize("num_components", [2, 3, 30])
def test_log_responsibilities_keep_what_responsibilities_round_away(num_components):
    """Odds of e^0 to e^80 for the greatest: -log(1 + 1 / odds), in single precision; softmax is 1 from e^17 on."""
    log_odds = torch.arange(0, 81, 4, dtype=torch.float64)
    joint = torch.full((len(log_odds), num_components), -math.log(num_components - 1), dtype=torch.float64)
    joint[:, 1] = log_odds
    found = log_responsibilities(joint.float())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[:, 1].double(), -torch.log1p((-log_odds).exp()), rtol=1e-5, atol=0)
    torch.testing.assert_close(found[:, 0].double(), joint.log_softmax(-1)[:, 0], rtol=1e-6, atol=1e-6)
    assert found[:, 1].diff().gt(0).all() and (joint.float().softmax(-1)[6:, 1] == 1).all()


def test_log_responsibilities_at_the_edges():
    assert torch.equal(log_responsibilities(torch.randn(3, 1)), torch.zeros(3, 1))
    weightless = log_responsibilities(torch.tensor([[-torch.inf, 1.0, -torch.inf]]))
    assert weightless.tolist() == [[-torch.inf, 0.0, -torch.inf]]
    joint = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(log_responsibilities, joint)
    value = torch.randn(5, 1, requires_grad=True)
    one_left = GaussianMixture(torch.tensor([0.0, -torch.inf]), torch.zeros(2, 1), torch.ones(2, 1))
    (gradient,) = torch.autograd.grad(one_left.log_responsibilities(value)[:, 0].sum(), value)
    assert torch.equal(gradient, torch.zeros(5, 1))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((), (1, 2), (1, 2)), "logits must have shape"),
        (((0,), (0, 2), (0, 2)), "logits must have shape"),
        (((3,), (4, 2), (3, 2)), "locs must have shape"),
        (((3,), (3, 2), (2,)), "scales must have shape"),
        (((3,), (3, 0), (3, 0)), "locs must have shape"),
        (((3,), (3, 2), (3, 1)), "same last dimension D = 2"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shapes, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(*(torch.ones(shape) for shape in shapes), validate_args=False)


def test_scales_must_be_positive():
    with pytest.raises(ValueError, match="scales"):
        GaussianMixture(torch.zeros(2), torch.zeros(2, 1), torch.tensor([[1.0], [0.0]]))


@pytest.mark.parametrize(("num_data", "num_components"), [(4, 3), (100, 500)])
def test_captured_graphs_hold_no_branch_on_data(num_data, num_components):
    """Loss and gradients captured by ``make_fx`` on one batch are right on another."""

    def step(value, *parameters):
        mixture = GaussianMixture(*parameters, validate_args=False)
        loss = mixture.log_prob(value).sum()
        return loss, *torch.autograd.grad(loss, parameters)

    parameters = [p.requires_grad_() for p in random_parameters((), num_components, 8, torch.float32)]
    graph = make_fx(step)(torch.randn(num_data, 8), *parameters)
    value = 100 * torch.randn(num_data, 8)
    for captured, eager in zip(graph(value, *parameters), step(value, *parameters), strict=True):
        torch.testing.assert_close(captured, eager)


def test_variational_mixture_fits_a_planted_mixture(no_global_parameters):
    """Stock SVI with a mixture as the guide: the samples' gradients move weights, means and scales."""
    target = GaussianMixture(
        torch.tensor([0.3, 0.7]).log(), torch.tensor([[-1.0, 0.0], [1.0, 1.0]]), torch.full((2, 2), 0.6)
    )

    def model():
        pyro.sample("z", target)

    def guide():
        logits = pyro.param("logits", torch.zeros(2))
        locs = pyro.param("locs", torch.tensor([[-0.5, 0.0], [0.5, 0.0]]))
        scales = pyro.param("scales", torch.ones(2, 2), constraint=dist.constraints.positive)
        pyro.sample("z", GaussianMixture(logits, locs, scales).expand(torch.Size()))

    elbo = Trace_ELBO(num_particles=100, vectorize_particles=True, max_plate_nesting=0)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.03}), elbo)
    for _ in range(250):
        svi.step()
    assert svi.evaluate_loss() < 0.05
    torch.testing.assert_close(pyro.param("logits").softmax(-1), torch.tensor([0.3, 0.7]), atol=0.08, rtol=0)
    torch.testing.assert_close(pyro.param("locs"), target.locs, atol=0.2, rtol=0)
