"""What one does with a GMVAE: responsibilities, samples, reconstructions, terms, and how it is kept and refused."""

from __future__ import annotations

import copy
import json
import math

import pytest
import torch
from pyro import poutine
from pyro.infer import Predictive
from torch.nn.functional import softplus

from pyro_mixvae.infer import TraceDivergence_ELBO
from pyro_mixvae.models import GMVAE
from pyro_mixvae.testing import assert_close_in_standard_errors
from tests.infer.pairs import normal_log_prob, standard_normal_draws
from tests.models.gmvae_by_hand import ByHand, tiny_data, tiny_gmvae

BATCH_NORM = {"kind": "mlp", "hidden_dims": [6], "batch_norm": True}


def with_batch_norm(**options) -> GMVAE:
    networks = dict.fromkeys(("encoder", "decoder", "prior_network"), BATCH_NORM)
    return tiny_gmvae(**networks | options)


def responsibilities_by_hand(model, z, w):
    locs, raw_scales = model.prior_network(w).unbind(-3)
    log_joint = normal_log_prob(z.unsqueeze(-2), locs, softplus(raw_scales) + 1e-4).sum(-1)
    return log_joint.exp() / log_joint.exp().sum(-1, keepdim=True)


def test_responsibilities_at_posterior_means():
    model, x = tiny_gmvae(4), tiny_data()
    found = model.responsibilities(x)
    assert found.shape == (5, 4) and not found.requires_grad
    means = ByHand(model, x, 0)
    torch.testing.assert_close(found, responsibilities_by_hand(model, means.z_loc, means.w_loc).detach())
    torch.testing.assert_close(found.sum(-1), torch.ones(5, dtype=x.dtype))
    torch.testing.assert_close(model.log_responsibilities(x), found.log())


def test_responsibilities_averaged_over_draws():
    """3,000 averages of one draw each have the mean of independent draws; one call averages its draws itself."""
    model, x = tiny_gmvae(3), tiny_data(1)
    by_hand = ByHand(model, x, 5, 3000).weights[:, 0].detach()
    one_each = model.responsibilities(x.expand(3000, 2, 3), num_samples=1)
    assert_close_in_standard_errors(one_each, by_hand.mean(0), other_error=by_hand.std(0) / 3000**0.5)
    at_once = model.responsibilities(x, num_samples=3000)
    error = 2**0.5 * by_hand.std(0) / 3000**0.5
    assert ((at_once[0] - by_hand.mean(0)).abs() < 4.5 * error).all()
    torch.testing.assert_close(model.responsibilities(tiny_data(), num_samples=7).sum(-1), torch.ones(5).double())


def test_logarithms_of_averages_keep_the_digits_that_averages_lose():
    model, x = tiny_gmvae(3), tiny_data()
    torch.manual_seed(3)
    averaged = model.responsibilities(x, num_samples=7)
    torch.manual_seed(3)
    torch.testing.assert_close(model.log_responsibilities(x, num_samples=7), averaged.log())
    with torch.no_grad():  # components far apart
        final = [layer for layer in model.prior_network.modules() if isinstance(layer, torch.nn.Linear)][-1]
        final.bias.view(2, 3, -1)[0] += 60 * torch.arange(3)[:, None]
    assert (model.float().responsibilities(x.float(), num_samples=7)[:, 2] == 0).all()
    logarithms = model.log_responsibilities(x.float(), num_samples=7)[:, 2]
    assert logarithms.isfinite().all()
    assert len(logarithms.unique()) == 5
    with pytest.raises(ValueError, match="num_samples: expected an integer >= 1, got 0"):
        model.log_responsibilities(x.float(), num_samples=0)


def test_sample_of_a_component():
    """Decoder means at z = mu_k(w) + sigma_k(w) * noise, w from its prior or given."""
    model = tiny_gmvae(3)
    noise_w, noise_z = torch.randn(6, 2), torch.randn(6, 2)
    for w in (None, torch.zeros(2).double(), torch.randn(6, 2).double()):
        styles = noise_w.double() if w is None else w.expand(6, 2)
        locs, raw_scales = model.prior_network(styles).unbind(-3)
        z = locs[:, 1] + (softplus(raw_scales[:, 1]) + 1e-4) * noise_z
        expected = torch.sigmoid(model.decoder(z)[:, 0]).detach()
        draws = iter([noise_z] if w is not None else [noise_w, noise_z])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "normal", lambda loc, scale, draws=draws: loc + scale * next(draws))
            found = model.sample(6, component=1, w=w)
        torch.testing.assert_close(found, expected)


def test_sample_from_all_components():
    """The mean over 4,000 draws without a component is the mean over 3 x 4,000 draws with one."""
    model = tiny_gmvae(3)
    assert model.sample(7).shape == (7, 2, 3)
    each = torch.stack([model.sample(4000, component=k) for k in range(3)])
    error = each.std(1).square().mean(0).sqrt() / (3 * 4000) ** 0.5
    assert_close_in_standard_errors(model.sample(4000), each.mean((0, 1)), other_error=error)


@pytest.mark.parametrize("arguments, message", [((0,), "n: expected"), ((2, 3), "component: .* 0..2, got 3"),
                                                ((2, -1), "component: .* got -1")])  # fmt: skip
def test_sample_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny_gmvae(3).sample(*arguments)


@pytest.mark.parametrize("num_samples", [0, -1])
def test_number_of_samples_is_refused(num_samples):
    for method in (tiny_gmvae().responsibilities, tiny_gmvae().log_likelihood):
        with pytest.raises(ValueError, match=f"num_samples: expected an integer >= 1, got {num_samples}"):
            method(tiny_data(), num_samples=num_samples)


def test_encode_decode_reconstruct():
    model, x = tiny_gmvae(likelihood="normal"), tiny_data()
    posterior, by_hand = model.encode(x), ByHand(model, x, 0)
    assert set(posterior) == {"z", "w"}
    for site, loc, scale in [("z", by_hand.z_loc, by_hand.z_scale), ("w", by_hand.w_loc, by_hand.w_scale)]:
        assert posterior[site].batch_shape == (5,) and posterior[site].event_shape == (2,)
        torch.testing.assert_close(posterior[site].mean, loc)
        torch.testing.assert_close(posterior[site].stddev, scale)
    likelihood = model.decode(torch.randn(4, 7, 2).double())
    assert likelihood.batch_shape == (4, 7) and likelihood.event_shape == (2, 3)
    torch.testing.assert_close(model.reconstruct(x), model.decoder(by_hand.z_loc)[:, 0].detach())


def test_log_weights_by_hand():
    model, x = tiny_gmvae(3), tiny_data()
    torch.manual_seed(4)
    found = model.log_weights(x, 6)
    torch.testing.assert_close(found, -ByHand(model, x, 4, 6).enumerated("model"))


def test_terms_sum_to_the_objective_per_datum():
    model, x = tiny_gmvae(3, c_prior_floor=0.8, num_particles=3), tiny_data()
    torch.manual_seed(2)
    terms = model.terms(x)
    torch.manual_seed(2)
    loss = model.objective().loss(model.model, model.guide, x)
    assert all(term.shape == (5,) and not term.requires_grad for term in terms.values())
    assert sum(terms.values()).mean().item() == pytest.approx(loss / 5)


@pytest.mark.parametrize(
    "look",
    [
        lambda m, x: m.responsibilities(x),
        lambda m, x: m.log_responsibilities(x),
        lambda m, x: m.log_responsibilities(x, num_samples=2),
        lambda m, x: m.reconstruct(x),
        lambda m, x: m.sample(3),
        lambda m, x: m.log_likelihood(x, 5),
        lambda m, x: m.terms(x),
    ],
    ids=["responsibilities", "logarithms", "averaged", "reconstruct", "sample", "log_likelihood", "terms"],
)
def test_looking_changes_nothing(look):
    """Mode, parameters, batch norm's buffers stay, also where a part was in another mode and where the call fails."""
    model, x = with_batch_norm(), tiny_data()
    model.train()
    model.decoder.eval()
    modes = [part.training for part in model.modules()]
    before = copy.deepcopy(model.state_dict())
    look(model, x)
    with pytest.raises(ValueError, match="x: expected"):
        model.terms(x[:, :1])
    assert [part.training for part in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_evaluation_does_not_depend_on_the_batch():
    model, x = with_batch_norm(), tiny_data()
    torch.testing.assert_close(model.responsibilities(x)[:2], model.responsibilities(x[:2]))
    torch.testing.assert_close(model.reconstruct(x)[:1], model.reconstruct(x[:1]))


@pytest.mark.parametrize("num_particles", [1, 3])
def test_prior_network_is_evaluated_once_for_guide_and_model(num_particles):
    model, x = with_batch_norm(num_particles=num_particles), tiny_data()
    calls = []
    model.prior_network.register_forward_hook(lambda *_: calls.append(1))
    (norm,) = (part for part in model.prior_network.modules() if isinstance(part, torch.nn.BatchNorm1d))
    for step in range(1, 4):
        model.objective().loss_and_grads(model.model, model.guide, x)
        assert len(calls) == step and norm.num_batches_tracked == step
    copy.deepcopy(model)  # no graph of the last call is in the way


def test_copies_after_a_forward_pass():
    model, x = tiny_gmvae(), tiny_data()
    poutine.trace(model.guide).get_trace(x)  # leaves a remembered output behind
    clone = copy.deepcopy(model)
    assert clone._pyro_name != model._pyro_name
    for name, parameter in clone.named_parameters():
        assert torch.equal(parameter, model.get_parameter(name)) and parameter is not model.get_parameter(name)
    with torch.no_grad():
        clone.encoder.layers[0].weight.zero_()
    assert model.encoder.layers[0].weight.abs().sum() > 0
    torch.manual_seed(0)
    expected = model.log_weights(x, 2)
    torch.manual_seed(0)
    assert not torch.allclose(clone.log_weights(x, 2), expected)


@pytest.mark.parametrize("event_shape", [(6,), (1, 4, 4), (3, 2, 5)], ids=str)
@pytest.mark.parametrize("likelihood", ["bernoulli", "normal"])
def test_vectors_and_images(event_shape, likelihood):
    model = GMVAE(event_shape, 2, 3, 2, likelihood, BATCH_NORM, BATCH_NORM, BATCH_NORM, c_prior_floor="log K")
    x = torch.rand(5, *event_shape)
    loss = model.objective()(model.model, model.guide)(x)
    loss.backward()
    assert loss.isfinite() and all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    assert model.reconstruct(x).shape == x.shape and model.sample(4).shape == (4, *event_shape)
    assert model.log_likelihood(x, 3).shape == (5,)


def test_predictive():
    """Draws from the model: c and z from the prior, and data from the likelihood where x is not observed."""
    model, x = tiny_gmvae(3, "normal"), tiny_data()
    draws = Predictive(poutine.uncondition(model.model), num_samples=8)(x)
    assert draws["c"].shape == (8, 5) and set(draws["c"].flatten().tolist()) <= {0, 1, 2}
    assert draws["z"].shape == (8, 5, 2) and draws["x"].shape == (8, 5, 2, 3)
    posterior = Predictive(model.model, guide=model.guide, num_samples=8, parallel=True)(x)
    assert torch.equal(posterior["x"][0], x) and posterior["c"].shape == (8, 5)


def test_condition_on_the_component():
    """c observed: z's divergence is the one from that component, and c costs log K."""
    model, x = tiny_gmvae(3, enumerate_in="model"), tiny_data()
    c = torch.tensor([0, 2, 1, 1, 0])
    noise = torch.randn(2, 5, 2)
    elbo = TraceDivergence_ELBO(max_plate_nesting=1)
    with standard_normal_draws(*noise):
        _, terms = elbo.loss_and_terms(poutine.condition(model.model, {"c": c}), model.guide, x, per_datum=True)
    posterior = model.encode(x)
    locs, raw_scales = model.prior_network(posterior["w"].mean + posterior["w"].stddev * noise[0]).unbind(-3)
    rows = torch.arange(5)
    p = torch.distributions.Normal(locs[rows, c], softplus(raw_scales[rows, c]) + 1e-4)
    kl = torch.distributions.kl_divergence(posterior["z"].base_dist, p).sum(-1)
    torch.testing.assert_close(terms["z"], kl)
    torch.testing.assert_close(terms["c"], torch.full((5,), math.log(3)).double())


def test_config_rebuilds_the_model():
    model = GMVAE(
        (2, 3), 2, 4, 3, {"name": "normal", "scale": 0.5}, encoder=BATCH_NORM, decoder={"hidden_dims": [5]},
        c_prior_floor="log K", num_particles=2, input_noise=0.1, enumerate_in="model",
    )  # fmt: skip
    config = json.loads(json.dumps(model.config))
    again = GMVAE(**config)
    assert again.config == model.config
    again.load_state_dict(model.state_dict())
    x = torch.rand(5, 2, 3)
    assert torch.equal(again.responsibilities(x), model.responsibilities(x))


def test_config_leaves_out_modules():
    encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 8))
    model = GMVAE((2, 3), 2, 3, 2, encoder=encoder)
    assert "encoder" not in model.config and model.config["decoder"]["kind"] == "mlp"
    assert model.responsibilities(torch.rand(4, 2, 3)).shape == (4, 3)


@pytest.mark.parametrize("name", ["latent_dim", "num_components", "style_dim", "num_particles"])
@pytest.mark.parametrize("value", [0, -3])
def test_sizes_below_one_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name}: expected an integer >= 1, got {value}"):
        GMVAE((4,), **{name: value})


@pytest.mark.parametrize(
    "options, message",
    [
        ({"c_prior_floor": -1.0}, "c_prior_floor: expected nats >= 0"),
        ({"c_prior_floor": math.nan}, "c_prior_floor: .* got nan"),
        ({"c_prior_floor": "log"}, "c_prior_floor: .* \"log K\", got 'log'"),
        ({"input_noise": -0.1}, "input_noise: expected a finite number >= 0, got -0.1"),
        ({"enumerate_in": "both"}, 'enumerate_in: expected "guide" or "model", got \'both\''),
        ({"likelihood": "bernouli"}, "likelihood: .*did you mean 'bernoulli'"),
        ({"encoder": {"kind": "mpl"}}, "encoder: unknown kind of network 'mpl'.*did you mean 'mlp'"),
        ({"decoder": 3}, "decoder: expected a mapping"),
        ({"prior_network": {"hidden": [3]}}, "prior_network: .*hidden"),
        ({"event_shape": ()}, "event_shape: expected sizes >= 1"),
        ({"event_shape": (4, 0)}, "event_shape: expected sizes >= 1"),
    ],
)
def test_arguments_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        GMVAE(**{"event_shape": (4,)} | options)


def test_components_are_those_of_the_style_as_it_is_now():
    """Changed in place, and asked for once more with gradients."""
    model, w = tiny_gmvae(), torch.zeros(1, 2, dtype=torch.float64)
    for value in (0.0, 1.0, 2.0, 3.0):
        w[0, 0] = value
        torch.testing.assert_close(model.components(w).locs, model.components(w.clone()).locs)
    for _ in range(2):
        model.components(w).locs.sum().backward()
