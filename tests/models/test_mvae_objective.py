"""The MVAE's loss against SPEC section 6 written by hand, at shared noise, and against stock Pyro."""

from __future__ import annotations

import copy
from unittest import mock

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO
from scipy import special
from torch.distributions import Dirichlet

from pyro_mixvae.infer import TraceDivergence_ELBO
from pyro_mixvae.models import MVAE, VAE
from tests.infer.pairs import assert_same_value_and_gradients, gradients, standard_normal_draws
from tests.models.mvae_by_hand import ByHand, constant, tiny_data, tiny_mvae

DROPOUTS = {
    "none": {},
    "gaussian": {"dropout": "gaussian", "dropout_rate": 0.2},
    "gumbel": {"dropout": "gumbel", "dropout_rate": 0.3},
    "gumbel, held": {"dropout": "gumbel", "dropout_rate": 0.3, "learn_dropout": False},
    "gaussian, rates of their own": {"dropout": "gaussian", "per_component": True},
    "gumbel, rates of their own": {"dropout": "gumbel", "per_component": True, "dropout_rate": 0.4},
}


def loss_at(seed, model, x, y=None, objective=None):
    torch.manual_seed(seed)
    return (objective or model.objective()).differentiable_loss(model.model, model.guide, x, y)


def spread_rates(model: MVAE) -> MVAE:
    """Rates that differ between the components where each has its own, the last one off."""
    if model.per_component:
        with torch.no_grad():
            model.masks.logit.copy_(torch.linspace(-2.0, 4.0, model.num_components, dtype=torch.float64))
    return model


@pytest.mark.parametrize(
    ("beta", "kl_weight", "num_particles"), [(0.0, 1.0, 1), (0.0, "1/K", 1), (1.0, 1.0, 1), (1.0, "1/K", 3)]
)
@pytest.mark.parametrize("options", DROPOUTS.values(), ids=DROPOUTS)
def test_the_loss_is_the_one_written_by_hand(options, beta, kl_weight, num_particles):
    model = spread_rates(tiny_mvae(beta=beta, kl_weight=kl_weight, num_particles=num_particles, **options))
    x = tiny_data()
    by_hand = ByHand(model, x, 1, num_draws=num_particles).loss(beta, 1 / 3 if kl_weight == "1/K" else kl_weight)
    assert_same_value_and_gradients(loss_at(1, model, x), by_hand, model, rtol=1e-9)


def test_with_labels_and_missing_ones():
    model = tiny_mvae(num_classes=4, dropout="gumbel")
    x, y = tiny_data(), torch.tensor([0, 3, -1, 2, 2, 1, -1, 0])
    assert_same_value_and_gradients(loss_at(1, model, x, y), ByHand(model, x, 1, y).loss(1.0, 1 / 3), model)
    missing = ByHand(model, x, 1).loss(1.0, 1 / 3)
    assert_same_value_and_gradients(loss_at(1, model, x), missing, model)
    assert loss_at(1, model, x, y) != missing


def test_terms_by_name_sum_to_the_loss():
    model, x = tiny_mvae(dropout="gaussian", beta=2.0), tiny_data()
    model.train()
    torch.manual_seed(1)
    terms = model.terms(x)
    assert list(terms) == ["reconstruction", "z_prior", "w_prior", "dhsic", "dropout"]
    model.eval()  # terms are taken in evaluation, where masks are 1
    torch.manual_seed(1)
    loss = model.objective().loss(model.model, model.guide, x)
    assert sum(term.sum() for term in terms.values()).item() == pytest.approx(loss, rel=1e-12)
    parts = ByHand(tiny := copy.deepcopy(model), x, 1)
    torch.testing.assert_close(terms["z_prior"], parts.z_prior.detach() / 3)
    torch.testing.assert_close(terms["w_prior"], parts.w_prior.detach())
    torch.testing.assert_close(terms["dhsic"][0], 2 * parts.dhsic.detach())
    torch.testing.assert_close(terms["dropout"], tiny.masks.cost().detach().expand(8))


@pytest.mark.parametrize("name", ["none", "gaussian", "gumbel, rates of their own"])
def test_stock_elbo_on_the_same_pair(name):
    """Means of 200 runs each: 4.5 standard errors of the difference, plus the constant that the loss leaves out."""
    model = spread_rates(tiny_mvae(beta=0.5, kl_weight=1.0, **DROPOUTS[name]))
    x = tiny_data()
    stock, own = Trace_ELBO(max_plate_nesting=2), model.objective()
    with torch.no_grad():
        first = torch.stack([loss_at(seed, model, x, objective=stock) for seed in range(200)])
        second = torch.stack([loss_at(1000 + seed, model, x, objective=own) for seed in range(200)])
    error = (first.var() / 200 + second.var() / 200).sqrt()
    assert abs(first.mean() - second.mean() - 8 * constant()) < 4.5 * error
    assert second.var() < first.var()


def test_stock_mean_field_elbo_is_equal_at_the_same_noise():
    model, x = tiny_mvae(dropout="gumbel", beta=0.5), tiny_data()
    stock = loss_at(1, model, x, objective=TraceMeanField_ELBO(max_plate_nesting=2))
    assert_same_value_and_gradients(loss_at(1, model, x), stock - 8 * constant(), model)


def test_with_unit_weights_it_is_a_bound():
    """kl_weight = 1, beta = 0, masks in the model: the loss less R is above -log p(x), which draws from the prior give.

    150 losses and 20 x 10,000 draws; the importance sampler, from a guide that is wide enough, agrees with the draws.
    """
    model, x = tiny_mvae(beta=0.0, kl_weight=1.0, dropout="gaussian", dropout_rate=0.3), tiny_data(4)
    last = model.encoder.layers[-1]
    with torch.no_grad():
        last.weight.mul_(0.3)
        last.bias.copy_(torch.tensor([0.0, 0.0, 1.0, 1.0, 0.5]))
        losses = torch.stack([loss_at(seed, model, x) for seed in range(150)]) / 4 - model.masks.cost()
        evidence = []
        for _ in range(20):
            z = torch.randn(10_000, 4, 3, 2, dtype=torch.float64)
            w = Dirichlet(torch.ones(3, dtype=torch.float64)).sample((10_000, 4))
            masks = model.masks.distribution().expand((10_000, 4, 3)).sample()
            evidence.append(model.decode(z, model.masks.weights(w, masks)).log_prob(x).exp().mean(0))
        evidence = torch.stack(evidence)
        gap = evidence.mean(0).log().mean() + losses.mean() + constant()
        assert gap > 4.5 * losses.std() / 150**0.5 > 0
        found = torch.stack([model.log_likelihood(x, 4000).exp() for _ in range(20)])
        error = (found.var(0) / 20 + evidence.var(0) / 20).sqrt()
        assert ((found.mean(0) - evidence.mean(0)).abs() < 4.5 * error).all()
        assert (error / evidence.mean(0) < 0.01).all()


@pytest.mark.parametrize("a", [(0.3, 0.8), (1.0, 1.0), (2.5, 0.6), (7.0, 11.0)])
def test_dirichlet_gradients_are_implicitly_reparameterised(a):
    """For K = 2 a weight is Beta: dw/da = -(dF/da) / f, by central differences of the regularised Beta function."""
    concentration = torch.tensor(a, dtype=torch.float64, requires_grad=True)
    for seed in range(5):
        torch.manual_seed(seed)
        w = Dirichlet(concentration).rsample()
        (found,) = torch.autograd.grad(w[0], concentration)
        value, step = w[0].item(), 1e-5
        density = torch.distributions.Beta(*concentration.detach()).log_prob(w[0].detach()).exp().item()
        shifted = [
            special.betainc(a[0] + step, a[1], value) - special.betainc(a[0] - step, a[1], value),
            special.betainc(a[0], a[1] + step, value) - special.betainc(a[0], a[1] - step, value),
        ]
        expected = torch.tensor([-difference / (2 * step) / density for difference in shifted], dtype=torch.float64)
        torch.testing.assert_close(found, expected, rtol=2e-3, atol=1e-5)


def test_one_component_without_dropout_is_a_vae():
    """The same networks: the bounds are equal but for the constant, and so are the gradients."""
    model = tiny_mvae(1, beta=0.0)
    layers, sub = model.encoder.layers, model.sub_decoder
    encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 7), torch.nn.Tanh(), torch.nn.Linear(7, 4))
    decoder = torch.nn.Sequential(torch.nn.Linear(2, 5), torch.nn.Tanh(), copy.deepcopy(model.decoder))
    with torch.no_grad():
        encoder[1].weight.copy_(layers[0].weight[0]), encoder[1].bias.copy_(layers[0].bias[0])
        encoder[3].weight.copy_(layers[2].weight[0].T[:4]), encoder[3].bias.copy_(layers[2].bias[0, :4])
        decoder[0].weight.copy_(sub.layer.weight[0].T), decoder[0].bias.copy_(sub.layer.bias[0])
    plain = VAE((2, 3), 2, likelihood={"name": "normal", "scale": 1.0}, encoder=encoder, decoder=decoder).double()
    x, noise = tiny_data(), torch.randn(8, 2, dtype=torch.float64)
    with standard_normal_draws(noise):
        loss = model.objective().differentiable_loss(model.model, model.guide, x)
    with standard_normal_draws(noise):
        other = plain.objective().differentiable_loss(plain.model, plain.guide, x)
    # KL(Dir(a) || Dir(1)) of one weight is 0
    torch.testing.assert_close(loss, other - 8 * constant(), rtol=1e-12, atol=0)
    own, others = gradients(loss, model), gradients(other, plain)
    torch.testing.assert_close(own["encoder.layers.0.weight"][0], others["encoder.1.weight"])
    torch.testing.assert_close(own["sub_decoder.layer.weight"][0].T, others["decoder.0.weight"])
    torch.testing.assert_close(own["decoder.layers.0.weight"], others["decoder.2.layers.0.weight"])


@pytest.mark.parametrize("options", DROPOUTS.values(), ids=DROPOUTS)
def test_permuting_components_leaves_the_loss_unchanged(options):
    """At noise that is permuted with them; a draw of w is its mean here, which the permutation carries along."""
    order = [2, 0, 1]
    model, x = spread_rates(tiny_mvae(**options)), tiny_data()
    permuted = model.prune(order)
    noise = [torch.randn(3, 8, 2, dtype=torch.float64)]
    if model.dropout == "gaussian":
        noise.append(torch.randn(3, 8, dtype=torch.float64))
    uniform = torch.rand(3, 8, dtype=torch.float64)

    def loss(of, noise, uniform):
        draw_w = mock.patch.object(Dirichlet, "rsample", lambda self, shape=(): self.mean)
        draw_m = mock.patch("torch.distributions.relaxed_bernoulli.torch.rand", lambda shape, **kwargs: uniform)
        with draw_w, draw_m, standard_normal_draws(*noise):
            return of.objective().differentiable_loss(of.model, of.guide, x)

    first = loss(model, noise, uniform)
    second = loss(permuted, [eps[order] for eps in noise], uniform[order])
    torch.testing.assert_close(first, second, rtol=1e-12, atol=0)


def test_a_short_last_batch_has_no_dhsic_and_is_counted():
    model, x = tiny_mvae(), tiny_data(11)
    assert "dhsic" in model.objective().loss_and_terms(model.model, model.guide, x[:6])[1]
    torch.manual_seed(1)
    loss, terms = model.objective().loss_and_terms(model.model, model.guide, x[6:])
    assert set(terms) == {"x", "z", "w"}
    by_hand = ByHand(model, x[6:], 1).loss(0.0, 1 / 3)
    torch.testing.assert_close(loss, by_hand)
    assert model.epoch_metrics() == {"batches_without_dhsic": 1.0}
    assert model.epoch_metrics() == {"batches_without_dhsic": 0.0}


def test_a_first_batch_that_is_too_short_is_refused():
    model = tiny_mvae()
    with pytest.raises(ValueError, match="batch_size: dHSIC of 3 components needs batches of 6 data or more, got 5"):
        loss_at(1, model, tiny_data(5))
    assert set(model.terms(tiny_data(5))) == {"reconstruction", "z_prior", "w_prior"}  # looking is allowed


def test_pyro_checks_the_pair():
    model, x = tiny_mvae(dropout="gaussian", num_particles=2), tiny_data()
    with pyro.validation_enabled():
        for elbo in (Trace_ELBO(max_plate_nesting=2), model.objective()):
            assert elbo.differentiable_loss(model.model, model.guide, x).isfinite()


def test_the_constant_is_left_out_where_it_was_counted():
    """Masked data hold none, scaled data hold their part, and the data may be given by name."""
    model, x = tiny_mvae(), tiny_data()
    mask = torch.tensor([True, False, True, False] + [True] * (len(x) - 4))
    elbo = model.objective()

    def both(change, **given):
        values = []
        for objective in (elbo, TraceDivergence_ELBO(max_plate_nesting=2)):
            torch.manual_seed(0)
            args = () if given else (x,)
            values.append(objective.loss(change(model.model), change(model.guide), *args, **given))
        return values[1] - values[0]

    per_datum = constant()
    for change, count in (
        (lambda f: f, len(x)),
        (lambda f: poutine.mask(f, mask=mask), int(mask.sum())),
        (lambda f: poutine.scale(f, 0.1), 0.1 * len(x)),
    ):
        assert both(change) == pytest.approx(count * per_datum, rel=1e-4)
    assert both(lambda f: f, x=x) == pytest.approx(len(x) * per_datum, rel=1e-4)
