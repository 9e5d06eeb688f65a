"""The pair of *How to train your VAE*: its objective by hand, what bounds it, and what one does with it."""

from __future__ import annotations

import copy
import math

import pyro
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyro import poutine
from pyro.infer import SVI, Predictive, Trace_ELBO

import pyro_mixvae
from pyro_mixvae.infer import KL, TraceDivergence_ELBO
from pyro_mixvae.models import MixturePosteriorVAE
from tests.infer.pairs import standard_normal_draws
from tests.models.mpvae_by_hand import constant, generator_losses, small


def vectors(**options) -> MixturePosteriorVAE:
    """A model of vectors, whose discriminator judges each as a whole."""
    mlp = {"kind": "mlp", "hidden_dims": [8]}
    return MixturePosteriorVAE((4,), 2, mlp, mlp, mlp, **options)


# --- the objective ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event_shape", [(1, 8, 8), (3, 12, 8)], ids=str)
@pytest.mark.parametrize("adversarial", [True, False])
def test_objective_by_hand(event_shape, adversarial):
    vae = small(event_shape, adversarial=adversarial, beta1=1.5, beta2=0.5, beta3=70.0, beta4=3.0).double()
    x, noise = torch.rand(5, *event_shape).double(), torch.randn(5, 3).double()
    with standard_normal_draws(noise):
        loss, terms = vae.objective().loss_and_terms(vae.model, vae.guide, x)
    expected, _ = generator_losses(vae, x, noise)
    expected["reconstruction"] = expected["reconstruction"] + constant(vae)
    named = {vae.term_names[site]: term / 5 for site, term in terms.items()}
    assert named.keys() == expected.keys()
    for name, term in expected.items():
        torch.testing.assert_close(named[name], term, msg=lambda m, n=name: f"{n}: {m}")
    torch.testing.assert_close(loss / 5, sum(expected.values()))


def test_gradient_by_hand():
    vae = small(beta4=3.0).double()
    x, noise = torch.rand(5, 1, 8, 8).double(), torch.randn(5, 3).double()
    parameters = [*vae.encoder.parameters(), *vae.decoder.parameters()]
    with standard_normal_draws(noise):
        loss = vae.objective().differentiable_loss(vae.model, vae.guide, x)
    expected = torch.autograd.grad(sum(generator_losses(vae, x, noise)[0].values()), parameters)
    for gradient, by_hand in zip(torch.autograd.grad(loss / 5, parameters), expected, strict=True):
        torch.testing.assert_close(gradient, by_hand)


def test_the_scale_is_the_paper_s():
    """39.3 for 256x256x3 and beta3 = 5000; the network is built without memory."""
    with torch.device("meta"):
        vae = MixturePosteriorVAE((3, 256, 256))
    assert vae.observation.scale == pytest.approx(39.3216)
    assert (vae.beta1, vae.beta2, vae.beta3, vae.beta4) == (1, 1, 5000, 100)
    assert vae.encoder.layers[-1].out_features == 1024


@settings(deadline=None, max_examples=25)
@given(spread=st.floats(0.01, 100), seed=st.integers(0, 1000), moments=st.sampled_from(["exact", "sampled", "means"]))
def test_every_term_is_bounded_below(spread, seed, moments):
    """By zero, and the reconstruction term by its constant n log 2b, whatever the weights and the data."""
    torch.manual_seed(seed)
    vae = small(moments=moments).double()
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.mul_(spread ** torch.rand(()))
    terms = vae.terms(spread * torch.randn(4, 1, 8, 8).double())
    assert (terms["reconstruction"] >= constant(vae)).all()
    for name in ("aggregate_kl", "individual_kl", "adversary"):
        assert (terms[name] >= -1e-9).all(), name


def test_terms_sum_to_the_loss_and_leave_the_model_as_it_was():
    vae, x = small(), torch.rand(6, 1, 8, 8)
    before = copy.deepcopy(vae.state_dict())
    torch.manual_seed(1)
    terms = vae.terms(x)
    assert list(terms) == ["reconstruction", "aggregate_kl", "individual_kl", "adversary"]
    assert all(term.shape == (6,) for term in terms.values())
    vae.eval()
    torch.manual_seed(1)
    loss = vae.objective().loss(vae.model, vae.guide, x)
    assert sum(term.sum().item() for term in terms.values()) == pytest.approx(loss, rel=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in vae.state_dict().items())


def test_particles():
    vae, x = small(num_particles=4).eval().double(), torch.rand(3, 1, 8, 8).double()
    noise = torch.randn(4, 3, 3).double()
    with standard_normal_draws(noise):
        loss = vae.objective().differentiable_loss(vae.model, vae.guide, x)
    alone = small().eval().double()
    alone.load_state_dict(vae.state_dict())
    each = []
    for one in noise:
        with standard_normal_draws(one):
            each.append(alone.objective().differentiable_loss(alone.model, alone.guide, x))
    torch.testing.assert_close(loss, torch.stack(each).mean())


# --- the same pair under stock Pyro ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("float64")
def test_with_the_standard_kl_it_is_an_evidence_bound():
    """Ours and Pyro's own estimate of the ELBO agree; fail beyond 4.5 standard errors. Both lie below log p(x)."""
    vae, x = vectors(adversarial=False, beta3=10.0), torch.rand(2, 4)
    ours = TraceDivergence_ELBO({"z": KL()}, max_plate_nesting=1)
    stock = Trace_ELBO(max_plate_nesting=1)
    with torch.no_grad():
        values = {
            name: torch.tensor([elbo.loss(vae.model, vae.guide, x) for _ in range(200)])
            for name, elbo in {"ours": ours, "stock": stock}.items()
        }
    error = math.hypot(*(value.std().item() / math.sqrt(200) for value in values.values()))
    assert abs(values["ours"].mean() - values["stock"].mean()) < 4.5 * error
    assert values["ours"].std() < values["stock"].std()
    assert -values["ours"].mean() < vae.log_likelihood(x, 10_000).sum() + 4.5 * error


def test_the_factor_is_no_part_of_the_likelihood():
    vae, x = small().eval(), torch.rand(2, 1, 8, 8)
    torch.manual_seed(0)
    with_adversary = vae.log_likelihood(x, 10)
    vae.beta4 = 0.0
    torch.manual_seed(0)
    assert torch.equal(with_adversary, vae.log_likelihood(x, 10))


@pytest.mark.usefixtures("no_global_parameters")
@pytest.mark.parametrize("objective", ["own", "stock"])
def test_stock_svi_moves_the_generator_only(objective):
    """Neither weights nor running statistics of the discriminator, and they are not in Pyro's parameter store."""
    vae, x = small(dropout=0.25), torch.rand(6, 1, 8, 8)
    before = copy.deepcopy(vae.state_dict())
    loss = vae.objective() if objective == "own" else Trace_ELBO()
    svi = SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 0.01}), loss)
    for _ in range(2):
        svi.step(x)
    changed = {name for name, value in vae.state_dict().items() if not torch.equal(value, before[name])}
    assert not any(name.startswith("discriminator") for name in changed)
    assert {name for name, _ in vae.named_parameters() if name.startswith(("encoder", "decoder"))} <= changed
    assert not any("discriminator" in name for name in pyro.get_param_store())
    assert not any(parameter.requires_grad for parameter in vae.discriminator.parameters())


@pytest.mark.usefixtures("no_global_parameters")
def test_svi_on_one_model_moves_no_other():
    first, x = vectors(), torch.rand(6, 4)
    models = [first, vectors(), copy.deepcopy(first)]
    for vae in models:
        before = [copy.deepcopy(other.state_dict()) for other in models]
        SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 0.01}), vae.objective()).step(x)
        for other, state in zip(models, before, strict=True):
            moved = any(not torch.equal(value, state[name]) for name, value in other.state_dict().items())
            assert moved == (other is vae)


def test_a_torch_optimizer_on_the_bound_objective():
    vae, x = vectors(beta3=1.0), torch.rand(6, 4)
    bound = vae.objective()(vae.model, vae.guide)
    trained = [parameter for parameter in bound.parameters() if parameter.requires_grad]
    assert len(trained) == len([*vae.encoder.parameters(), *vae.decoder.parameters()])
    bound(x).backward()
    assert all(parameter.grad is not None for parameter in trained)
    assert all(parameter.grad is None for parameter in vae.discriminator.parameters())


def test_predictive_and_condition():
    vae, x = small().eval(), torch.rand(4, 1, 8, 8)
    drawn = Predictive(vae.model, guide=vae.guide, num_samples=3)(x)
    assert drawn["z"].shape == (3, 4, 3)
    generated = Predictive(poutine.uncondition(vae.model), num_samples=2)(x)
    assert generated["x"].shape == (2, 4, 1, 8, 8)
    z = torch.zeros(4, 3)
    trace = poutine.trace(poutine.condition(vae.model, {"z": z})).get_trace(x)
    torch.testing.assert_close(trace.nodes["x"]["fn"].mean, vae.decode(z).mean)
    assert trace.nodes["adversary"]["fn"].log_prob(torch.empty(0)).shape == (4,)


def test_labels_are_not_looked_at():
    vae, x = vectors().eval(), torch.rand(3, 4)
    torch.manual_seed(0)
    without = vae.objective().loss(vae.model, vae.guide, x)
    torch.manual_seed(0)
    assert vae.objective().loss(vae.model, vae.guide, x, torch.tensor([-1, 0, 1])) == without


# --- what one does with it -------------------------------------------------------------------------------------------


def test_reconstructions_and_samples():
    vae, x = small(), torch.rand(4, 1, 8, 8)
    torch.testing.assert_close(vae.reconstruct(x), vae.eval().decode(vae.encode(x).mean).mean.detach())
    torch.manual_seed(0)
    z = torch.randn(5, 3)
    torch.manual_seed(0)
    torch.testing.assert_close(vae.sample(5), vae.decode(z).mean.detach())
    assert vectors().sample(2).shape == (2, 4)


def test_variants_move_two_axes_by_their_own_standard_deviations():
    vae, x = small().eval(), torch.rand(2, 1, 8, 8)
    images = vae.variants(x, axes=(2, 0), deltas=(-3.0, 0.0, 3.0))
    assert images.shape == (2, 3, 3, 1, 8, 8)
    loc, scale = vae.encode(x).base_dist.loc, vae.encode(x).base_dist.scale
    for row, first in enumerate((-3, 0, 3)):
        for column, second in enumerate((-3, 0, 3)):
            z = loc + scale * torch.tensor([second, 0, first])
            torch.testing.assert_close(images[:, row, column], vae.decode(z).mean.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(images[:, 1, 1], vae.reconstruct(x), rtol=1e-4, atol=1e-5)


def test_transitions_go_from_one_mean_to_the_other():
    vae, x, other = small().eval(), torch.rand(2, 1, 8, 8), torch.rand(2, 1, 8, 8)
    images = vae.transitions(x, other)
    assert images.shape == (2, 6, 1, 8, 8)
    start, end = vae.encode(x).mean, vae.encode(other).mean
    for step in range(6):
        between = (1 - step / 5) * start + step / 5 * end
        torch.testing.assert_close(images[:, step], vae.decode(between).mean.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("vae", [small(), small(adversarial=False), vectors()], ids=["images", "alone", "vectors"])
def test_saved_and_loaded(vae, tmp_path):
    x = torch.rand(3, *vae.event_shape)
    pyro_mixvae.save(vae, tmp_path)
    loaded = pyro_mixvae.load(tmp_path)
    assert loaded.config == vae.config
    torch.testing.assert_close(loaded.reconstruct(x), vae.reconstruct(x), rtol=0, atol=0)
    torch.manual_seed(0)
    terms = vae.terms(x)
    torch.manual_seed(0)
    assert all(torch.equal(term, loaded.terms(x)[name]) for name, term in terms.items() if name == "individual_kl")
    assert loaded.adversarial == vae.adversarial
    if vae.adversarial:
        assert not any(parameter.requires_grad for parameter in loaded.discriminator.parameters())


def test_without_adversary_there_is_no_discriminator():
    vae = small(adversarial=False)
    assert vae.updates() == []
    assert not [name for name, _ in vae.named_parameters() if "discriminator" in name]
    assert "adversary" not in vae.terms(torch.rand(3, 1, 8, 8))
    with pytest.raises(ValueError, match="adversarial: the model was made with adversarial=False"):
        vae.cross_entropy(torch.rand(3, 1, 8, 8), real=True)
    again = MixturePosteriorVAE(**{**vae.config, "adversarial": True})
    assert again.discriminator is not None


def test_own_networks():
    vae = MixturePosteriorVAE(
        (4,), 2, torch.nn.Linear(4, 4), torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Unflatten(-1, (1, 4))),
        torch.nn.Linear(4, 7),
    )  # fmt: skip
    assert vae.terms(torch.rand(3, 4))["adversary"].shape == (3,)
    assert "encoder" not in vae.config


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta1": -1.0}, "beta1: expected a finite number >= 0, got -1.0"),
        ({"beta3": 0.0}, "beta3: expected a finite number > 0, got 0.0"),
        ({"beta4": math.inf}, "beta4: expected a finite number >= 0, got inf"),
        ({"moments": "mean"}, 'moments: expected "exact", "sampled" or "means"'),
        ({"num_particles": 0}, "num_particles: expected an integer >= 1, got 0"),
        ({"event_shape": (1, 10, 8)}, "encoder: a residual network needs sides >= 8 that are divisible by 4"),
        ({"event_shape": ()}, r"event_shape: expected sizes >= 1, got \(\)"),
    ],
)
def test_refused(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_refused_afterwards():
    vae, x = small(), torch.rand(2, 1, 8, 8)
    for call, message in {
        lambda: vae.sample(0): "n: expected an integer >= 1",
        lambda: vae.sample(1, component=0): "component: the prior is one Gaussian",
        lambda: vae.variants(x, axes=(0, 3)): r"axes: expected two different ones of 0\.\.2",
        lambda: vae.variants(x, axes=(1, 1)): "axes: expected two different ones",
        lambda: vae.transitions(x, x[:1]): "other: expected 2 data",
        lambda: vae.transitions(x, x, 1): "num_steps: expected an integer >= 2",
        lambda: vae.reconstruct(x[:, :, :4]): r"x: expected shape \[B, 1, 8, 8\]",
    }.items():
        with pytest.raises(ValueError, match=message):
            call()
