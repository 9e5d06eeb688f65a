"""The importance-weighted bound on a linear-Gaussian model, whose likelihood and posterior are known."""

from __future__ import annotations

import math
from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO
from pyro.nn import PyroModule, pyro_method
from torch import Tensor, nn

from pyro_mixvae.infer import ImportanceWeightedELBO


class LinearGaussian(PyroModule):
    """z ~ N(0, I), x | z ~ N(W z, 0.7^2 I); guide N(A x, diag exp(2 s))."""

    def __init__(self, exact: bool = False) -> None:
        super().__init__(name=f"linear_gaussian_{id(self)}")
        self.weight = nn.Parameter(torch.tensor([[1.0, 0.5], [-0.4, 0.8], [0.3, 0.2]]))
        self.matrix = nn.Parameter(torch.tensor([[0.3, -0.1, 0.2], [0.1, 0.4, 0.0]]))
        self.log_scale = nn.Parameter(torch.tensor([-0.3, -0.5]))
        if exact:  # orthogonal columns, so that the posterior is diagonal
            self.weight = nn.Parameter(torch.tensor([[1.0, 0.0], [0.0, 0.8], [0.0, 0.0]]))
            variance = 1 / (1 + (self.weight.detach() ** 2).sum(0) / 0.49)
            self.matrix = nn.Parameter(variance.unsqueeze(1) * self.weight.detach().T / 0.49)
            self.log_scale = nn.Parameter(0.5 * variance.log())

    @pyro_method
    def model(self, x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), torch.ones(2)).to_event(1))
            pyro.sample("x", dist.Normal(z @ self.weight.T, 0.7).to_event(1), obs=x)

    @pyro_method
    def guide(self, x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(x @ self.matrix.T, self.log_scale.exp()).to_event(1))

    def log_likelihood(self, x: Tensor) -> Tensor:
        covariance = self.weight @ self.weight.T + 0.49 * torch.eye(3)
        return dist.MultivariateNormal(torch.zeros(3), covariance).log_prob(x)

    @property
    def guide_parameters(self) -> list[nn.Parameter]:
        return [self.matrix, self.log_scale]


def bound(k: int, estimator: str = "standard") -> ImportanceWeightedELBO:
    return ImportanceWeightedELBO(k, estimator, max_plate_nesting=1)


def draw_data(n: int) -> Tensor:
    return torch.randn(n, 3)


def gradients(pair: LinearGaussian, elbo: ImportanceWeightedELBO, x: Tensor, seed: int) -> list[Tensor]:
    torch.manual_seed(seed)
    loss = elbo.differentiable_loss(pair.model, pair.guide, x)
    return list(torch.autograd.grad(loss, [pair.weight, *pair.guide_parameters]))


# --- the value -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ["standard", "dreg"])
def test_one_sample_is_the_elbo(float64, estimator) -> None:
    pair, x = LinearGaussian(), draw_data(5)
    torch.manual_seed(1)
    ours = bound(1, estimator).loss(pair.model, pair.guide, x)
    torch.manual_seed(1)
    assert ours == pytest.approx(Trace_ELBO(max_plate_nesting=1).loss(pair.model, pair.guide, x), rel=1e-12)


def test_monotone_in_k_and_below_the_likelihood(float64) -> None:
    """Each step up is more than 4.5 standard errors of the difference; 4,000 copies of each of 5 data."""
    pair, data = LinearGaussian(), draw_data(5)
    x = data.repeat(4000, 1)
    means, errors = [], []
    for k in (1, 3, 10, 50):
        with torch.no_grad():
            _, terms = bound(k).loss_and_terms(pair.model, pair.guide, x, per_datum=True)
        values = -torch.stack(list(terms.values())).sum(0)
        means.append(values.mean().item())
        errors.append((values.reshape(4000, 5).mean(1).std() / math.sqrt(4000)).item())
    for smaller, larger in ((0, 1), (1, 2), (2, 3)):
        assert means[larger] - means[smaller] > 4.5 * math.hypot(errors[larger], errors[smaller])
    exact = pair.log_likelihood(data).mean().item()
    assert means[-1] < exact + 4.5 * errors[-1]
    assert exact - means[-1] < 0.05 * (exact - means[0])


def test_exact_posterior_gives_the_likelihood(float64) -> None:
    pair, x = LinearGaussian(exact=True), draw_data(5)
    loss = bound(3).loss(pair.model, pair.guide, x)
    assert loss == pytest.approx(-pair.log_likelihood(x).sum().item(), rel=1e-10)


@pytest.mark.parametrize("k", [1, 4])
def test_terms(float64, k: int) -> None:
    pair, x = LinearGaussian(), draw_data(5)
    torch.manual_seed(1)
    loss, terms = bound(k).loss_and_terms(pair.model, pair.guide, x)
    torch.manual_seed(1)
    _, each = bound(k).loss_and_terms(pair.model, pair.guide, x, per_datum=True)
    assert set(terms) == {"x", "z", "weights"}
    torch.testing.assert_close(sum(terms.values()), loss.detach())
    for name, term in each.items():
        assert term.shape == (5,)
        torch.testing.assert_close(term.sum(), terms[name])
    assert (each["weights"] >= 0).all() and (each["weights"] > 0).any() == (k > 1)


# --- the gradient ----------------------------------------------------------------------------------------------------


def test_standard_gradient_is_that_of_finite_differences(float64) -> None:
    pair, x = LinearGaussian(), draw_data(4)
    found = gradients(pair, bound(5), x, seed=1)

    def loss() -> float:
        torch.manual_seed(1)
        return bound(5).loss(pair.model, pair.guide, x)

    for parameter, gradient in zip([pair.weight, *pair.guide_parameters], found, strict=True):
        numeric = torch.zeros_like(parameter)
        for index in range(parameter.numel()):
            entry = parameter.data.view(-1)
            entry[index] += 1e-5
            above = loss()
            entry[index] -= 2e-5
            numeric.view(-1)[index] = (above - loss()) / 2e-5
            entry[index] += 1e-5
        torch.testing.assert_close(gradient, numeric, rtol=1e-6, atol=1e-6)


def test_dreg_by_hand(float64) -> None:
    r"""sum_i w_i^2 (d log w_i / d z_i) (d z_i / d phi), its derivative written out for the linear-Gaussian pair."""
    pair, x = LinearGaussian(), draw_data(4)
    _, by_matrix, by_log_scale = gradients(pair, bound(6, "dreg"), x, seed=1)
    torch.manual_seed(1)
    noise = torch.normal(torch.zeros(6, 4, 2), torch.ones(6, 4, 2))
    with torch.no_grad():
        scale = pair.log_scale.exp()
        z = x @ pair.matrix.T + scale * noise
        residual = x - z @ pair.weight.T
        log_weights = -0.5 * (residual**2).sum(-1) / 0.49 - 0.5 * (z**2).sum(-1) + 0.5 * (noise**2).sum(-1)
        squared = log_weights.softmax(0).square().unsqueeze(-1)
        slope = residual @ pair.weight / 0.49 - z + noise / scale
        path = -squared * slope
        torch.testing.assert_close(by_matrix, torch.einsum("kbd,be->de", path, x))
        torch.testing.assert_close(by_log_scale, (path * scale * noise).sum((0, 1)))


@pytest.mark.parametrize("k", [2, 10])
def test_dreg_equals_standard_in_expectation(float64, k: int) -> None:
    """Means of 100 batches of 200 copies of 3 data, every entry within 4.5 standard errors: 14 entries, p < 1e-4."""
    pair, x = LinearGaussian(), draw_data(3).repeat(200, 1)
    drawn = {
        estimator: [gradients(pair, bound(k, estimator), x, seed) for seed in range(first, first + 100)]
        for estimator, first in (("standard", 0), ("dreg", 1000))
    }
    for entry in range(3):
        standard, dreg = (torch.stack([g[entry] for g in drawn[name]]) for name in ("standard", "dreg"))
        error = ((standard.var(0) + dreg.var(0)) / 100).sqrt()
        assert ((standard.mean(0) - dreg.mean(0)).abs() < 4.5 * error).all()
        if entry > 0:
            # so much signal that a wrong factor of two would show
            assert (dreg.mean(0).abs() > 9 * error).any()


def test_dreg_leaves_the_model_gradient_alone(float64) -> None:
    pair, x = LinearGaussian(), draw_data(4)
    standard, dreg = (gradients(pair, bound(5, name), x, seed=1) for name in ("standard", "dreg"))
    torch.testing.assert_close(standard[0], dreg[0])
    assert not torch.allclose(standard[1], dreg[1])


def test_dreg_has_no_noise_at_the_exact_posterior(float64) -> None:
    pair, x = LinearGaussian(exact=True), draw_data(4)
    _, *dreg = gradients(pair, bound(5, "dreg"), x, seed=1)
    _, *standard = gradients(pair, bound(5), x, seed=1)
    assert all(gradient.abs().max() < 1e-10 for gradient in dreg)
    assert all(gradient.abs().max() > 1e-2 for gradient in standard)


@pytest.mark.parametrize("estimator", ["standard", "dreg"])
def test_training_finds_the_likelihood(no_global_parameters, estimator) -> None:
    pair, x = LinearGaussian(), draw_data(50)
    pair.weight.requires_grad_(False)
    module = bound(10, estimator)(pair.model, pair.guide)
    optimizer = torch.optim.Adam(pair.guide_parameters, lr=0.04)
    for _ in range(100):
        optimizer.zero_grad()
        module(x).backward()
        optimizer.step()
    assert set(module.last_terms) == {"x", "z", "weights"}
    exact = pair.log_likelihood(x).sum().item()
    assert -exact - 1 < bound(100).loss(pair.model, pair.guide, x) < -exact + 3


def test_trains_under_svi(no_global_parameters) -> None:
    pair, x = LinearGaussian(), draw_data(20)
    svi = SVI(pair.model, pair.guide, pyro.optim.Adam({"lr": 0.05}), bound(5, "dreg"))
    first = sum(svi.step(x) for _ in range(10))
    for _ in range(60):
        svi.step(x)
    assert sum(svi.step(x) for _ in range(10)) < first


# --- discrete sites --------------------------------------------------------------------------------------------------

PROBS = torch.tensor([0.2, 0.5, 0.3])
MEANS = torch.tensor([-2.0, 0.5, 3.0])


def mixture_model(x: Tensor) -> None:
    with pyro.plate("data", len(x)):
        c = pyro.sample("c", dist.Categorical(PROBS.to(x)), infer={"enumerate": "parallel"})
        z = pyro.sample("z", dist.Normal(MEANS.to(x)[c], 0.8))
        with pyro.plate("values", x.shape[1], dim=-2):
            pyro.sample("x", dist.Normal(z, 0.5), obs=x.T)


def guide_without_c(x: Tensor) -> None:
    with pyro.plate("data", len(x)):
        pyro.sample("z", dist.Normal(x.mean(-1), 0.6))


def guide_with_c(x: Tensor) -> None:
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Normal(x.mean(-1), 0.6))
        pyro.sample("c", dist.Categorical(logits=torch.stack([z, -z, 0 * z], -1)), infer={"enumerate": "parallel"})


@pytest.mark.parametrize("guide", [guide_without_c, guide_with_c], ids=["in model", "in guide"])
@pytest.mark.parametrize("num_data", [1, 4])
def test_enumerated_sites_are_summed_out_of_each_weight(float64, guide, num_data: int) -> None:
    x = torch.randn(num_data, 2)
    elbo = ImportanceWeightedELBO(5, max_plate_nesting=2)
    torch.manual_seed(1)
    loss, terms = elbo.loss_and_terms(mixture_model, guide, x)
    torch.manual_seed(1)
    q = dist.Normal(x.mean(-1), 0.6)
    z = q.rsample((5,))
    prior = torch.logsumexp(PROBS.to(x).log() + dist.Normal(MEANS.to(x), 0.8).log_prob(z.unsqueeze(-1)), -1)
    log_weights = prior + dist.Normal(z.unsqueeze(-1), 0.5).log_prob(x).sum(-1) - q.log_prob(z)
    torch.testing.assert_close(loss, -(log_weights.logsumexp(0) - math.log(5)).sum())
    torch.testing.assert_close(sum(terms.values()), loss)
    assert "c+z" in terms


def test_a_draw_that_depends_on_an_enumerated_variable(float64) -> None:
    """sum_c p(x, z_c, c) / q(z_c | c) is unbiased for p(x): 4.5 standard errors of 3,000 weights."""
    x = torch.tensor([[0.3, 1.0]])

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            c = pyro.sample("c", dist.Categorical(torch.ones(3, dtype=x.dtype)), infer={"enumerate": "parallel"})
            pyro.sample("z", dist.Normal(0.5 * MEANS.to(x)[c] + 0.3, 0.9))

    covariance = 0.25 * torch.eye(2) + 0.64
    components = dist.MultivariateNormal(MEANS.to(x).unsqueeze(-1).expand(3, 2), covariance)
    exact = (PROBS.to(x) * components.log_prob(x).exp()).sum()
    elbo = ImportanceWeightedELBO(1, max_plate_nesting=2)
    with torch.no_grad():
        _, terms = elbo.loss_and_terms(mixture_model, guide, x.repeat(3000, 1), per_datum=True)
    weights = torch.exp(-torch.stack(list(terms.values())).sum(0))
    error = weights.std() / math.sqrt(3000)
    assert weights.shape == (3000,) and abs(weights.mean() - exact) < 4.5 * error < 0.5 * exact
    with pytest.raises(ValueError, match="'z' depends on an enumerated variable; use 'standard'"):
        ImportanceWeightedELBO(3, "dreg", max_plate_nesting=2).loss_and_terms(mixture_model, guide, x)


# --- masks, scales and what is refused -------------------------------------------------------------------------------


def test_masked_data_do_not_enter(float64) -> None:
    pair, x = LinearGaussian(), draw_data(4)
    mask = torch.tensor([True, False, True, False])
    torch.manual_seed(1)
    _, each = bound(3).loss_and_terms(pair.model, pair.guide, x, per_datum=True)
    torch.manual_seed(1)
    pairs = poutine.mask(pair.model, mask=mask), poutine.mask(pair.guide, mask=mask)
    masked = bound(3).differentiable_loss(*pairs, x)
    torch.testing.assert_close(masked.detach(), torch.stack(list(each.values())).sum(0)[mask].sum())


def test_scale_multiplies_the_bound_not_the_weights(float64) -> None:
    pair, x = LinearGaussian(), draw_data(4)
    torch.manual_seed(1)
    plain = bound(3).loss(pair.model, pair.guide, x)
    torch.manual_seed(1)
    loss, terms = bound(3).loss_and_terms(poutine.scale(pair.model, 2.5), poutine.scale(pair.guide, 2.5), x)
    assert loss.item() == pytest.approx(2.5 * plain)
    torch.testing.assert_close(sum(terms.values()), loss.detach())
    with pytest.raises(ValueError, match=r"site 'z': its scale is .*; an importance weight needs one for all sites"):
        bound(3).loss(poutine.scale(pair.model, 2.5), pair.guide, x)


def test_without_a_plate_all_is_one_datum(float64) -> None:
    def model() -> None:
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        pyro.sample("x", dist.Normal(z, 1.0), obs=torch.tensor(0.4))

    def guide() -> None:
        pyro.sample("z", dist.Normal(0.2, 0.5**0.5))

    exact = dist.Normal(0.0, 2**0.5).log_prob(torch.tensor(0.4)).item()
    assert ImportanceWeightedELBO(4).loss(model, guide) == pytest.approx(-exact)


def test_refusals(float64) -> None:
    x = draw_data(3)

    def global_site(x: Tensor) -> None:
        scale = pyro.sample("s", dist.Gamma(2.0, 2.0))
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(0.0, scale))

    def discrete(x: Tensor, **infer) -> None:
        with pyro.plate("data", len(x)):
            pyro.sample("c", dist.Categorical(torch.ones(3)), infer=infer)

    def chain(x: Tensor) -> None:
        loc = torch.zeros(2, requires_grad=True)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(loc, 1.0).to_event(1))
            pyro.sample("v", dist.Normal(2 * z, 1.0).to_event(1))

    with pytest.raises(ValueError, match="site 's' lies outside the plate 'data'"):
        bound(2).loss_and_terms(global_site, global_site, x)
    with pytest.raises(ValueError, match="site 'c': draws of Categorical cannot be reparameterised"):
        bound(2).loss_and_terms(discrete, discrete, x)
    bound(2).loss(discrete, discrete, x)  # a value needs no gradient
    with pytest.raises(ValueError, match="site 'c': an importance weight sums over all values at once"):
        one_by_one = partial(discrete, enumerate="sequential")
        bound(2).loss_and_terms(one_by_one, one_by_one, x)
    with pytest.raises(ValueError, match="'v' depends on z; use 'standard'"):
        bound(2, "dreg").loss_and_terms(chain, chain, x)
    bound(2).loss_and_terms(chain, chain, x)


@pytest.mark.parametrize("value", [0, -1, 2.5, "5"])
def test_bad_number_of_samples(value) -> None:
    with pytest.raises(ValueError, match=f"num_samples: expected an integer >= 1, got {value!r}"):
        ImportanceWeightedELBO(value)


def test_bad_estimator() -> None:
    with pytest.raises(ValueError, match="estimator: expected one of standard, dreg, got 'stl'"):
        ImportanceWeightedELBO(5, "stl")
