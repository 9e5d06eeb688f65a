"""What one does with a factorial mixture: draws, clamps, grids, bounds of new data, and what is refused."""

from __future__ import annotations

import copy
import math

import pytest
import torch

import pyro_mixvae
from pyro_mixvae.models import FactorialMixtureVAE
from tests.models.factorial_by_hand import tiny_data, tiny_factorial


def test_responsibilities_and_codes():
    model, x = tiny_factorial(), tiny_data()
    for gamma, size in zip(model.responsibilities(x), (2, 3), strict=True):
        assert gamma.shape == (12, size)
        torch.testing.assert_close(gamma.sum(-1), torch.ones(12))
    for gamma, log_gamma in zip(model.responsibilities(x), model.log_responsibilities(x), strict=True):
        torch.testing.assert_close(log_gamma.exp().to(gamma.dtype), gamma)
    assert {name: q.event_shape for name, q in model.encode(x).items()} == {"z_0": (2,), "z_1": (2,)}
    assert model.reconstruct(x).shape == x.shape


@pytest.mark.parametrize("component", [None, 1, [None, 2], [0, 1]])
def test_sampling_with_clamped_factors(component):
    assert tiny_factorial().sample(7, component).shape == (7, 4)


def test_samples_follow_the_clamped_components():
    """Component 1 of factor 0 sits at 5 and is narrow; the decoder is the identity on the first part."""
    tight = {"concentration": 1.0, "rate": 0.01, "mean_precision": 0.01}
    model = tiny_factorial([2], decoder=Identity(), latent_dim=4, num_data=10_000, hyperprior=tight)
    model.start_at(0, torch.stack([torch.zeros(4), torch.full((4,), 5.0)]), torch.full((4,), 0.1))
    draws = model.sample(4000, component=1)
    # a Student's t of 5,002 degrees of freedom: its mean within 4.5 standard errors of 0.1 / sqrt(4000)
    assert (draws.mean(0) - 5).abs().max() < 4.5 * 0.1 / math.sqrt(4000) + 1e-4
    torch.testing.assert_close(draws.std(0), torch.full((4,), 0.1), rtol=0.1, atol=0)


class Identity(torch.nn.Module):
    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return torch.stack([z, torch.zeros_like(z)], -2)


@pytest.mark.parametrize("component", [2, -1, [0], [0, 1, 2], [None, 3]])
def test_components_that_there_are_not_are_refused(component):
    with pytest.raises(ValueError, match="component: expected"):
        tiny_factorial().sample(1, component)


def test_components_without_data_are_sampled_finitely():
    """At the hyperprior itself, Student's t with 0.02 degrees of freedom."""
    model = tiny_factorial(hyperprior={})
    for posterior in model.natural_posteriors():
        posterior.natural.copy_(posterior.prior_natural)
    assert model.sample(500).isfinite().all()
    assert model.component_summary(0)["mean"].isfinite().all()
    assert model.pruned() == [[0, 1], [0, 1, 2]]


def test_pruned_components_are_those_without_a_datum():
    model = tiny_factorial([3])
    model.weights[0].set(torch.tensor([0.5, 10.0, 0.0]))
    assert model.pruned() == [[0, 2]]
    torch.testing.assert_close(model.counts()[0], torch.tensor([0.5, 10.0, 0.0], dtype=torch.float64))


@pytest.mark.parametrize("factor", [-1, 2])
def test_component_summary_of_a_factor_that_there_is_not(factor):
    with pytest.raises(ValueError, match=f"factor: expected 0..1, got {factor}"):
        tiny_factorial().component_summary(0, factor=factor)


def test_component_summary():
    parts = tiny_factorial().component_summary(2, factor=1, num_samples=30, num_shown=4)
    assert {name: part.shape for name, part in parts.items()} == {"mean": (4,), "variance": (4,), "samples": (4, 4)}


def test_grids_and_variations():
    model = tiny_factorial()
    assert model.grid([0, 1], num_samples=3).shape == (2, 3, 4)
    assert model.grid([1], num_samples=3, component=[1, None]).shape == (3, 4)
    assert model.variations([1, 0]).shape == (3, 2, 4)
    assert model.grid([0, 1], num_samples=3, choices=[[1], [2, 0]]).shape == (1, 2, 4)
    assert model.variations([1], choices=[[2, 1]]).shape == (2, 4)
    for factors in ([], [2], [0, 0]):
        with pytest.raises(ValueError, match="factors: expected"):
            model.grid(factors)
    for choices in ([[0]], [[0], []], [[2], [0]], [[0], [0], [0]]):
        with pytest.raises(ValueError, match=r"choices: expected numbers in 0..1, 0..2 for each of the factors, got"):
            model.variations([0, 1], choices=choices)


def test_chosen_components_are_those_of_the_whole_grid():
    """Narrow components: draws are their means, so that the chosen rows and columns are the whole grid's."""
    model = tiny_factorial()
    for factor, size in enumerate((2, 3)):
        model.start_at(factor, 3 * torch.randn(size, 2), torch.full((2,), 1e-4))
        model.components[factor].natural[..., 0] += 1e6  # many data, so that Student's t is narrow as well
        model.components[factor].natural[..., 1] -= 1e-3
    whole = model.variations([0, 1])
    torch.testing.assert_close(
        model.variations([1, 0], choices=[[2, 0], [1]])[:, 0], whole[1, [2, 0]], atol=1e-2, rtol=0
    )


def test_variations_hold_everything_else():
    """The decoder shows the second part only, which is held: all settings of the first give one image."""

    class Second(torch.nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            shown = torch.cat([z[..., 2:], z[..., 2:]], -1)
            return torch.stack([shown, torch.zeros_like(shown)], -2)

    images = tiny_factorial(decoder=Second()).variations([0])
    assert torch.equal(images[0], images[1])


def test_predictive_bound_is_the_objective_without_the_globals():
    model, x = tiny_factorial(), tiny_data()
    torch.manual_seed(1)
    parts = model.predictive_bound(x)
    terms = model.terms(x)
    for name in ("kl_z", "kl_r"):
        torch.testing.assert_close(parts[name], terms[name], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(parts["bound"], parts["reconstruction"] - parts["kl_z"] - parts["kl_r"])


@pytest.mark.usefixtures("float64")
def test_log_likelihood_against_quadrature():
    """One code dimension: the integral of p(x | z) sum_k c_k / sum c StudentT_k(z) on a fine grid."""
    model, x = tiny_factorial([2], latent_dim=1), tiny_data(3)
    z = torch.linspace(-60, 60, 60_001).unsqueeze(-1)
    with torch.no_grad():
        log_prior = model._log_predictive(0, z)
        log_joint = model.decode(z.unsqueeze(1)).log_prob(x) + log_prior.unsqueeze(-1)
    step = (z[1] - z[0]).item()
    torch.testing.assert_close((log_prior.exp().sum() * step).item(), 1.0, rtol=1e-3, atol=0)
    exact = log_joint.logsumexp(0) + math.log(step)
    torch.testing.assert_close(model.log_likelihood(x, 20_000), exact, rtol=0, atol=0.05)
    assert (model.predictive_bound(x)["bound"] < exact + 1).all()


def test_saved_and_loaded(tmp_path):
    model, x = tiny_factorial(labelled=[1], label_weight=2.0), tiny_data()
    model.after_step((x, torch.arange(12) % 4 - 1), 0)
    loaded = pyro_mixvae.load(pyro_mixvae.save(model, tmp_path / "model"))
    for first, second in zip(model.responsibilities(x), loaded.responsibilities(x), strict=True):
        assert torch.equal(first, second)
    assert loaded.num_data == 60
    assert {name: value.dtype for name, value in loaded.state_dict().items()} == {
        name: value.dtype for name, value in model.state_dict().items()
    }


def test_a_copy_is_its_own():
    model, x = tiny_factorial(), tiny_data()
    clone = copy.deepcopy(model)
    model.after_step((x,), 0)
    assert not torch.equal(model.components[0].natural, clone.components[0].natural)


def test_vade_has_parameters_and_no_posterior():
    model, x = tiny_factorial([3], xi="parameters"), tiny_data()
    terms = model.terms(x)
    assert terms["kl_components"] == terms["kl_weights"] == 0
    assert model.natural_posteriors() == []
    loss = model.objective().differentiable_loss(model.model, model.guide, x)
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert model.sample(3, 1).shape == (3, 4)
    assert model.log_likelihood(x, 10).shape == (12,)
    with pytest.raises(ValueError, match="pruned"):
        model.pruned()


def test_vade_ascends_the_likelihood_of_its_mixture():
    """The gradient in xi is that of sum_n log sum_k pi_k exp E_q log N(z_n; mu_k, sigma_k), at gamma's optimum."""
    model, x = tiny_factorial([3], xi="parameters"), tiny_data()
    loss = model.objective().differentiable_loss(model.model, model.guide, x) / model.num_data
    own = [*model.weights.parameters(), *model.components.parameters()]
    found = torch.autograd.grad(loss, own)
    ((_, densities, log_weights),) = model._beliefs(x)
    expected = torch.autograd.grad(-(densities + log_weights).logsumexp(-1).mean(), own)
    for first, second in zip(found, expected, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_data": 0}, "num_data: expected an integer >= 1, got 0"),
        ({"latent_dim": 0}, "latent_dim: expected"),
        ({"num_components": []}, "num_components: expected sizes >= 1"),
        ({"num_components": [2, 0]}, "num_components: expected sizes >= 1"),
        ({"xi": "point"}, "xi: expected"),
        ({"label_weight": -1.0}, "label_weight: expected"),
        ({"labelled": [2]}, r"labelled: expected different factors in 0..1, got \[2\]"),
        ({"labelled": [0, 0]}, "labelled: expected different"),
        ({"hyperprior": {"rate": 0.0}}, "rate: expected a finite number > 0"),
        ({"hyperprior": {"speed": 1.0}}, "hyperprior: .*speed"),
        ({"forgetting": 0.4}, "forgetting: expected"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        tiny_factorial(**options)


def test_labels_are_checked():
    model, x = tiny_factorial(labelled=[1, 0]), tiny_data()
    model.check(x, torch.tensor([[2, 1]] * 12))
    for y, message in {
        torch.zeros(12, dtype=torch.int64): "labels for 2 factors",
        torch.tensor([[1, 2]] * 12): r"labels in -1..1 for factor 0, got 2",
    }.items():
        with pytest.raises(ValueError, match=message):
            model.check(x, y)


def test_one_number_of_components_is_one_factor():
    assert FactorialMixtureVAE((4,), 10, num_components=5, likelihood="normal").num_factors == 1
