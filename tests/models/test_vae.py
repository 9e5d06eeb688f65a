"""The VAE with its three choices: each objective against one written by hand on the same noise, gradients included."""

from __future__ import annotations

import json
import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Predictive, Trace_ELBO
from pyro.nn import PyroModule, PyroParam
from torch import Tensor, nn

import pyro_mixvae
from pyro_mixvae.divergences import CauchySchwarzFactor, log_row_sums
from pyro_mixvae.infer import CauchySchwarz, TraceDivergence_ELBO, divergence_factor
from pyro_mixvae.models import CSRAE, VAE
from pyro_mixvae.priors import GaussianMixturePrior, VampPrior
from tests.models import vae_by_hand as hand

SMALL = {"kind": "mlp", "hidden_dims": [8]}
MIXTURE = {"name": "gaussian-mixture", "learn_weights": True}
NETWORK = {"name": "gaussian-mixture", "network": {"hidden_dims": [7]}, "input_dim": 6}


def small(cls: type[VAE] = VAE, event_shape: tuple[int, ...] = (1, 3, 2), **options) -> VAE:
    return cls(event_shape, **{"latent_dim": 3, "encoder": SMALL, "decoder": SMALL} | options)


def some_data(model: VAE, n: int = 6) -> Tensor:
    return torch.rand(n, *model.event_shape)


def noise(*shape: int) -> Tensor:
    """The next standard normal draws, as a Normal's rsample takes them."""
    return torch.normal(torch.zeros(shape), torch.ones(shape))


def assert_same_gradients(model: VAE, first: Tensor, second: Tensor) -> None:
    torch.testing.assert_close(first, second)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    ours, theirs = (torch.autograd.grad(loss, learned, allow_unused=True) for loss in (first, second))
    for one, other in zip(ours, theirs, strict=True):
        assert one is not None and other is not None and one.abs().max() > 0
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)


def log_ratio(model: VAE, loc: Tensor, scale: Tensor, z: Tensor) -> Tensor:
    return hand.log_normal(z, loc, scale) - hand.log_mixture(z, *hand.mixture_of(model))


def kl(model: VAE, loc: Tensor, scale: Tensor, z: Tensor) -> Tensor:
    return hand.kl_standard(loc, scale)


def info_vae(model: VAE, loc: Tensor, scale: Tensor, z: Tensor) -> Tensor:
    # alpha = 0.25, lambda = 10: 0.75 KL + 9.25 MMD^2
    return 0.75 * hand.kl_standard(loc, scale) + 9.25 * hand.mmd_imq(z, noise(*z.shape))


def csrae(model: VAE, loc: Tensor, scale: Tensor, z: Tensor) -> Tensor:
    return hand.cauchy_schwarz_standard(loc, scale)


def mixture_csrae(model: VAE, loc: Tensor, scale: Tensor, z: Tensor) -> Tensor:
    return hand.cauchy_schwarz_mixture(loc, scale, *hand.mixture_of(model))


@pytest.mark.parametrize(
    ("cls", "options", "divergence"),
    [
        pytest.param(VAE, {}, kl, id="VAE"),
        pytest.param(VAE, {"scale": 4.0}, kl, id="beta-VAE"),
        pytest.param(VAE, {"prior": MIXTURE, "num_components": 4}, log_ratio, id="VAE, mixture"),
        pytest.param(VAE, {"prior": "vamp", "num_components": 4}, log_ratio, id="VampPrior-VAE"),
        pytest.param(VAE, {"divergence": {"name": "info-vae", "alpha": 0.25, "weight": 10.0}}, info_vae, id="InfoVAE"),
        pytest.param(CSRAE, {"scale": 0.5}, csrae, id="CSRAE"),
        pytest.param(CSRAE, {"prior": MIXTURE, "num_components": 4, "scale": 0.5}, mixture_csrae, id="Mixture-CSRAE"),
        pytest.param(CSRAE, {"prior": NETWORK, "num_components": 4}, mixture_csrae, id="Mixture-CSRAE, network"),
        pytest.param(CSRAE, {"prior": "vamp", "num_components": 4}, mixture_csrae, id="Mixture-CSRAE, Vamp"),
    ],
)
def test_objective_is_the_one_written_by_hand(float64, cls, options, divergence) -> None:
    model = small(cls, **options)
    x = some_data(model)
    torch.manual_seed(1)
    ours = model.objective().differentiable_loss(model.model, model.guide, x)
    torch.manual_seed(1)
    loc, scale = hand.posterior(model, x)
    z = loc + scale * noise(*loc.shape)
    weight = options.get("scale", 1.0)
    by_hand = -hand.log_bernoulli(model, x, z) + weight * divergence(model, loc, scale, z)
    assert_same_gradients(model, ours, by_hand.sum())


@pytest.mark.parametrize("num_samples", [1, 5])
def test_iwae_is_the_one_written_by_hand(float64, num_samples: int) -> None:
    model = small(importance_samples=num_samples)
    x = some_data(model)
    torch.manual_seed(1)
    ours = model.objective().differentiable_loss(model.model, model.guide, x)
    torch.manual_seed(1)
    loc, scale = hand.posterior(model, x)
    z = loc + scale * noise(num_samples, *loc.shape)
    log_prior = hand.log_normal(z, torch.zeros(3), torch.ones(3))
    log_weights = hand.log_bernoulli(model, x, z) + log_prior - hand.log_normal(z, loc, scale)
    by_hand = -(log_weights.logsumexp(0) - math.log(num_samples)).sum()
    assert_same_gradients(model, ours, by_hand)


def test_particles_are_averaged(float64) -> None:
    model = small(num_particles=3)
    x = some_data(model)
    torch.manual_seed(1)
    ours = model.objective().differentiable_loss(model.model, model.guide, x)
    torch.manual_seed(1)
    loc, scale = hand.posterior(model, x)
    z = loc + scale * noise(3, *loc.shape)
    by_hand = (hand.kl_standard(loc, scale) - hand.log_bernoulli(model, x, z).mean(0)).sum()
    assert_same_gradients(model, ours, by_hand)


# --- the same CSRAE under stock Pyro ---------------------------------------------------------------------------------


def guide_side(model: VAE, scale: float):
    def pair_model(x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", model.latent_prior().mask(False))
            pyro.sample("x", model.decode(z), obs=x)

    def pair_guide(x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            q = model.encode(x)
            pyro.sample("z", q.mask(False))
            divergence_factor("z_divergence", q, model.latent_prior(), CauchySchwarz(), scale)

    return pair_model, pair_guide


def model_side(model: VAE, scale: float):
    def pair_model(x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            prior = model.latent_prior()
            z = pyro.sample("z", prior.mask(False))
            pyro.sample("x", model.decode(z), obs=x)
            factor = CauchySchwarzFactor(model.encode(x), prior, scale)
            pyro.sample("z_divergence", factor, obs=factor.sample())

    def pair_guide(x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            pyro.sample("z", model.encode(x).mask(False))

    return pair_model, pair_guide


@pytest.mark.parametrize("prior", ["standard-normal", MIXTURE, "vamp"])
@pytest.mark.parametrize("side", [guide_side, model_side])
def test_csrae_with_a_factor_under_stock_elbo(float64, side, prior) -> None:
    options = {} if prior == "standard-normal" else {"num_components": 4}
    model = small(CSRAE, prior=prior, scale=0.7, **options)
    x = some_data(model)
    torch.manual_seed(1)
    ours = model.objective().differentiable_loss(model.model, model.guide, x)
    torch.manual_seed(1)
    stock = Trace_ELBO(max_plate_nesting=1).differentiable_loss(*side(model, 0.7), x)
    assert_same_gradients(model, ours, stock)


# --- limits ----------------------------------------------------------------------------------------------------------


def test_mixture_of_one_standard_component_is_csrae(float64) -> None:
    plain = small(CSRAE)
    one = GaussianMixturePrior(1, 3, locs=[[0.0, 0.0, 0.0]], scale=1.0, fixed=True)
    mixture = small(CSRAE, prior=one, encoder=plain.encoder, decoder=plain.decoder)
    x = some_data(plain)
    losses = []
    for model in (plain, mixture):
        torch.manual_seed(1)
        losses.append(model.objective().differentiable_loss(model.model, model.guide, x))
    assert_same_gradients(plain, *losses)


def test_vamp_prior_at_all_data_is_the_aggregate_posterior(float64) -> None:
    x = torch.rand(6, 1, 3, 2).round()  # the ends of the range included
    model = small(prior=VampPrior.from_data(x))
    q, z = model.encode(x), torch.randn(50, 3)
    aggregate = q.log_prob(z.unsqueeze(-2)).logsumexp(-1) - math.log(len(x))
    torch.testing.assert_close(model.latent_prior().log_prob(z), aggregate)


def test_elbo_is_a_bound_and_equals_stock(float64) -> None:
    """The VAE's objective and stock Trace_ELBO agree in expectation: 300 draws of each, 4.5 standard errors."""
    model = small()
    x = some_data(model, 2)
    with torch.no_grad():
        ours = torch.tensor([model.objective().loss(model.model, model.guide, x) for _ in range(300)])
        stock = torch.tensor([Trace_ELBO(max_plate_nesting=1).loss(model.model, model.guide, x) for _ in range(300)])
    error = ((ours.var() + stock.var()) / 300).sqrt()
    assert abs(ours.mean() - stock.mean()) < 4.5 * error
    assert ours.var() < stock.var()


# --- what it costs ---------------------------------------------------------------------------------------------------


def test_prior_and_its_self_overlap_are_computed_once_a_step(monkeypatch) -> None:
    model = small(CSRAE, prior=NETWORK, num_components=400)
    calls = {"network": 0, "pairs": 0}
    model.prior.network.register_forward_hook(lambda *_: calls.__setitem__("network", calls["network"] + 1))
    pairwise = log_row_sums.pairwise

    def counted(q_locs, q_scales, p_locs, p_scales):
        result = pairwise(q_locs, q_scales, p_locs, p_scales)
        calls["pairs"] += result.numel()
        return result

    monkeypatch.setattr(log_row_sums, "pairwise", counted)
    model.objective().differentiable_loss(model.model, model.guide, some_data(model, 100))
    assert calls["network"] == 1
    # K^2 pairs of the prior (blocks off the diagonal once), and one for each datum and component: no factor of B
    assert calls["pairs"] <= 400 * 400 + 100 * 400


# --- every combination -----------------------------------------------------------------------------------------------

PRIORS = {
    "standard-normal": {},
    "gaussian-mixture": {"num_components": 3},
    "vamp": {"num_components": 3},
}
LIKELIHOODS = [
    "bernoulli",
    "continuous-bernoulli",
    "normal",
    {"name": "normal", "scale": "learned"},
    "laplace",
    {"name": "laplace", "scale": 0.2},
    "discretized-logistic",
]


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=str)
@pytest.mark.parametrize("divergence", ["kl", "cauchy-schwarz", "info-vae"])
@pytest.mark.parametrize("prior", PRIORS)
def test_every_combination(tmp_path, prior, divergence, likelihood) -> None:
    model = small(prior=prior, divergence=divergence, likelihood=likelihood, **PRIORS[prior])
    x = some_data(model)
    model.objective().differentiable_loss(model.model, model.guide, x).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name
    terms = model.terms(x)
    assert list(terms) == ["reconstruction", "divergence"]
    assert all(term.shape == (6,) and term.isfinite().all() for term in terms.values())
    assert model.sample(2).shape == model.reconstruct(x)[:2].shape == (2, 1, 3, 2)
    assert model.log_likelihood(x, 3).shape == (6,)

    loaded = pyro_mixvae.load(pyro_mixvae.save(model, tmp_path))
    assert loaded.config == json.loads(json.dumps(model.config)) | {"event_shape": (1, 3, 2)}
    torch.testing.assert_close(loaded.reconstruct(x), model.reconstruct(x), rtol=0, atol=0)
    assert repr(loaded.objective()) == repr(model.objective())


@pytest.mark.parametrize("event_shape", [(5,), (1, 3, 2), (3, 2, 2)])
def test_vectors_and_images(event_shape) -> None:
    model = small(event_shape=event_shape, prior="vamp", num_components=2)
    assert model.reconstruct(some_data(model)).shape == (6, *event_shape)
    assert model.sample(4, component=1).shape == (4, *event_shape)


# --- what one does with it -------------------------------------------------------------------------------------------


def test_responsibilities(float64) -> None:
    model = small(prior=MIXTURE, num_components=4)
    x = some_data(model)
    weights, locs, scales = hand.mixture_of(model)
    loc, scale = hand.posterior(model, x)
    joint = weights + hand.log_normal(loc.unsqueeze(-2), locs, scales)
    torch.testing.assert_close(model.responsibilities(x), joint.softmax(-1).detach())
    torch.testing.assert_close(model.log_responsibilities(x), joint.log_softmax(-1).detach())
    noise = torch.randn(20, *loc.shape, generator=torch.Generator().manual_seed(1))
    z = loc + scale * noise
    averaged = (weights + hand.log_normal(z.unsqueeze(-2), locs, scales)).softmax(-1).mean(0).detach()
    torch.manual_seed(1)
    torch.testing.assert_close(model.responsibilities(x, num_samples=20), averaged)
    torch.manual_seed(1)
    torch.testing.assert_close(model.log_responsibilities(x, num_samples=20), averaged.log())


def test_samples_of_a_component_come_from_it() -> None:
    locs = [[-50.0, 0.0, 0.0], [50.0, 0.0, 0.0]]
    prior = GaussianMixturePrior(2, 3, locs=locs, scale=0.5, fixed=True)

    class FirstCoordinate(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return z[..., :1].unsqueeze(-1)

    model = small(event_shape=(1,), prior=prior, decoder=FirstCoordinate(), likelihood={"name": "normal", "scale": 1.0})
    assert (model.sample(20, component=0) < 0).all() and (model.sample(20, component=1) > 0).all()
    # 200 draws of a fair coin: 100 within 4.5 standard deviations of 7.1
    assert abs(int((model.sample(200) > 0).sum()) - 100) < 32


def test_validation_is_at_scale_one(float64) -> None:
    model = small(CSRAE, scale=0.3)
    assert repr(model.validation_objective()) == repr(TraceDivergence_ELBO({"z": CauchySchwarz()}))
    assert repr(model.objective()) == repr(TraceDivergence_ELBO({"z": 0.3 * CauchySchwarz()}))


def test_vamp_starts_from_data_only_if_asked() -> None:
    x = torch.rand(20, 1, 3, 2)
    asked = small(prior={"name": "vamp", "start": "data"}, num_components=5)
    asked.start_from_data(x)
    rows = (asked.prior.pseudo_inputs.flatten(1).unsqueeze(1) == x.flatten(1)).all(-1)
    assert (rows.sum(1) == 1).all() and rows.sum() == 5
    other = small(prior="vamp", num_components=5)
    before = other.prior.pseudo_inputs.clone()
    other.start_from_data(x)
    torch.testing.assert_close(other.prior.pseudo_inputs, before, rtol=0, atol=0)


def test_ordinary_pyro_pair(no_global_parameters) -> None:
    model = small(prior="gaussian-mixture", num_components=3)
    x = some_data(model)
    svi = SVI(model.model, model.guide, pyro.optim.Adam({"lr": 1e-2}), Trace_ELBO())
    first = sum(svi.step(x) for _ in range(5))
    last = [svi.step(x) for _ in range(60)][-5:]
    assert sum(last) < first
    drawn = Predictive(model.model, guide=model.guide, num_samples=7)(x)
    assert drawn["z"].shape == (7, 6, 3)
    conditioned = poutine.condition(model.model, data={"z": torch.zeros(6, 3)})
    assert poutine.trace(conditioned).get_trace(x).log_prob_sum().isfinite()


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latent_dim": 0}, "latent_dim: expected an integer >= 1, got 0"),
        ({"num_particles": 0}, "num_particles: expected an integer >= 1, got 0"),
        ({"scale": -1.0}, "scale: expected a finite number >= 0, got -1"),
        ({"scale": math.nan}, "scale: expected a finite number >= 0, got nan"),
        ({"prior": "gausian-mixture"}, "did you mean 'gaussian-mixture'"),
        ({"prior": "gaussian-mixture"}, "num_components: missing"),
        ({"prior": "vamp", "num_components": 0}, "num_components: expected an integer >= 1, got 0"),
        ({"num_components": 3}, "num_components: a standard normal has no components, got 3"),
        ({"prior": {"name": "vamp", "num_components": 4}, "num_components": 3}, "3, but 4 in prior"),
        ({"prior": {"name": "gaussian-mixture", "wat": 1}, "num_components": 3}, "wat"),
        ({"prior": {"name": "gaussian-mixture", "scale": 1e-30}, "num_components": 3}, "underflows, got 1e-30"),
        ({"prior": GaussianMixturePrior(2, 5)}, r"prior: expected draws of 3 dimensions \(latent_dim\), got 5"),
        ({"prior": VampPrior(2, (1, 4, 4))}, r"prior: expected pseudo-inputs of the data's shape .*, got \[1, 4, 4\]"),
        ({"divergence": "cauchy-schwartz"}, "did you mean 'cauchy-schwarz'"),
        ({"divergence": {"name": "kl", "scale": -1.0}}, "divergence: weight: expected a finite number >= 0"),
        ({"divergence": {"name": "info-vae", "alpha": 2.0}}, "alpha: expected a number <= 1, got 2"),
        ({"divergence": {"name": "info-vae", "weight": 0.5}}, "weight: expected a number >= 1 - alpha = 1, got 0.5"),
        ({"divergence": {"name": "kl", "wat": 1}}, "wat"),
        ({"likelihood": "binomial"}, "likelihood: expected one of"),
        ({"importance_samples": 0}, "num_samples: expected an integer >= 1, got 0"),
        ({"importance_samples": 5, "estimator": "vimco"}, "estimator: expected one of standard, dreg, got 'vimco'"),
        ({"importance_samples": 5, "scale": 2.0}, "importance_samples: .* got 'kl', 2 and 1"),
        ({"importance_samples": 5, "divergence": "cauchy-schwarz"}, "importance_samples: .* got 'cauchy-schwarz'"),
    ],
    ids=str,
)
def test_bad_arguments(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_a_users_prior_is_not_called_where_the_model_is_made(no_global_parameters) -> None:
    """It would have no name yet, and leave its parameters under ``loc`` for the next one to find."""

    class Learned(PyroModule):
        def __init__(self) -> None:
            super().__init__()
            self.loc = PyroParam(torch.zeros(3))

        def forward(self) -> dist.TorchDistribution:
            raise AssertionError("called")

    small(prior=Learned())
    assert not list(pyro.get_param_store())


def test_bad_calls() -> None:
    model, mixture = small(), small(prior="gaussian-mixture", num_components=3)
    x = some_data(model)
    with pytest.raises(ValueError, match="the prior has no components, got 0"):
        model.sample(2, component=0)
    with pytest.raises(ValueError, match=r"component: expected 0..2, got 3"):
        mixture.sample(2, component=3)
    with pytest.raises(ValueError, match="n: expected an integer >= 1, got 0"):
        model.sample(0)
    with pytest.raises(ValueError, match="num_samples: expected an integer >= 1, got 0"):
        mixture.responsibilities(x, num_samples=0)
    with pytest.raises(ValueError, match="x: expected one datum at least, got none"):
        model.log_likelihood(x[:0])
    with pytest.raises(ValueError, match=r"y: expected one label for each of 5 data, got shape \[2\]"):
        model.terms(x[:5], torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ValueError, match="event_shape: expected a sequence of sizes, got 6"):
        VAE(6)
    with pytest.raises(ValueError, match="prior: expected a mixture"):
        model.responsibilities(x)
    with pytest.raises(ValueError, match="prior: expected a mixture"):
        model.log_responsibilities(x)
    with pytest.raises(ValueError, match=r"values in \[0, 1\], got values in"):
        model.reconstruct(x - 1)
    with pytest.raises(ValueError, match="num_samples: expected an integer >= 1, got 0"):
        model.log_likelihood(x, 0)


def test_own_modules_are_passed_again_to_load(tmp_path) -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shift = nn.Parameter(torch.ones(3))

        def forward(self) -> dist.TorchDistribution:
            return dist.Normal(self.shift, 1.0).to_event(1)

    model = small(prior=Shifted())
    assert "prior" not in model.config
    pyro_mixvae.save(model, tmp_path)
    loaded = pyro_mixvae.load(tmp_path, networks={"prior": Shifted()})
    torch.testing.assert_close(loaded.prior.shift, model.prior.shift)
