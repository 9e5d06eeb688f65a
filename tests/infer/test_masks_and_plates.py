"""Masks, scales, subsampled and nested plates, and a global latent variable, against sums written by hand."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO, TraceEnum_ELBO

from pyro_mixvae.infer import SiteDivergence, TraceDivergence_ELBO
from tests.infer.pairs import Mixture, normal_kl, normal_log_prob, standard_normal_draws

pytestmark = pytest.mark.usefixtures("float64")

LOC = torch.tensor([0.2, 1.5, -0.7, 2.2], dtype=torch.float64)
MASK = torch.tensor([True, False, True, True])
X = torch.tensor([0.1, 5.0, -1.0, 2.0], dtype=torch.float64)


def model(x, how=lambda fn: fn):
    with pyro.plate("data", 4):
        z = pyro.sample("z", how(dist.Normal(torch.zeros(4), 1.0)))
        pyro.sample("x", how(dist.Normal(z, 0.5)), obs=x)


def guide(x, how=lambda fn: fn):
    with pyro.plate("data", 4):
        pyro.sample("z", how(dist.Normal(LOC, 0.8)))


def by_hand(noise):
    """The two terms per datum, [4]."""
    return normal_kl(LOC, torch.tensor(0.8)), -normal_log_prob(X, LOC + 0.8 * noise, 0.5)


def terms_of(model, guide, noise, *args, **options):
    elbo = TraceDivergence_ELBO(max_plate_nesting=options.pop("max_plate_nesting", 1), **options)
    with standard_normal_draws(*noise):
        return elbo.loss_and_terms(model, guide, *args, per_datum=True)


@pytest.mark.parametrize("way", ["handler", "distribution", "both"])
def test_masked_data_count_nothing(way):
    noise = torch.randn(4)
    kl, cost = by_hand(noise)
    inside = (lambda fn: fn.mask(MASK)) if way != "handler" else (lambda fn: fn)
    outer = torch.tensor([True, True, True, False]) if way == "both" else MASK
    kept = MASK & outer

    def handled(fn):
        wrapped = (lambda x: fn(x, inside)) if way != "handler" else fn
        return wrapped if way == "distribution" else poutine.mask(wrapped, mask=outer)

    loss, terms = terms_of(handled(model), handled(guide), [noise], X)
    torch.testing.assert_close(terms["z"], kl * kept)
    torch.testing.assert_close(terms["x"], cost * kept)
    torch.testing.assert_close(loss, ((kl + cost) * kept).sum())


def test_masked_out_site_is_not_evaluated():
    """``.mask(False)`` on z: the site counts nothing, and its divergence is not asked."""

    def run(loc):
        with pyro.plate("data", 4):
            z = pyro.sample("z", dist.Normal(loc, 0.8).mask(False))
            pyro.factor("x", -z)

    def asked(q, p):
        raise AssertionError("the divergence of a masked site was evaluated")

    noise = torch.randn(4)
    elbo = TraceDivergence_ELBO({"z": SiteDivergence(asked)}, max_plate_nesting=1)
    with standard_normal_draws(noise):
        loss, terms = elbo.loss_and_terms(lambda: run(torch.zeros(4)), lambda: guide_only(), per_datum=True)
    assert torch.equal(terms["z"], torch.zeros(4))
    torch.testing.assert_close(loss, (LOC + 0.8 * noise).sum())


def guide_only():
    with pyro.plate("data", 4):
        pyro.sample("z", dist.Normal(LOC, 0.8).mask(False))


def test_masked_nonsense_has_no_gradient():
    """An infinite cost of a masked datum leaves value and gradient finite."""
    loc = torch.tensor([0.2, torch.inf, -0.7, 2.2], requires_grad=True)
    with poutine.mask(mask=MASK):
        q, p = dist.Normal(loc, 0.8, validate_args=False), dist.Normal(torch.zeros(4), 1.0)

        def run(fn):
            with pyro.plate("data", 4), poutine.mask(mask=MASK):
                pyro.sample("z", fn)

        loss = TraceDivergence_ELBO(max_plate_nesting=1).differentiable_loss(lambda: run(p), lambda: run(q))
    loss.backward()
    torch.testing.assert_close(loss.detach(), normal_kl(loc.detach(), torch.tensor(0.8))[MASK].sum())
    torch.testing.assert_close(loc.grad[MASK], loc.detach()[MASK])


@pytest.mark.parametrize("scale", [0.25, torch.tensor(2.5)])
def test_scale(scale):
    noise = torch.randn(4)
    kl, cost = by_hand(noise)
    _, terms = terms_of(poutine.scale(model, scale), poutine.scale(guide, scale), [noise], X)
    torch.testing.assert_close(terms["z"], scale * kl)
    torch.testing.assert_close(terms["x"], scale * cost)


def test_subsampled_plate_is_scaled_to_the_whole():
    """A plate of 40 of which four are seen: every term times ten; a global site once."""

    def run(fn_g, fn_z, observed):
        g = pyro.sample("g", fn_g)
        with pyro.plate("data", 40, subsample=torch.arange(4)):
            z = pyro.sample("z", fn_z)
            if observed:
                pyro.sample("x", dist.Normal(z + g, 0.5), obs=X)

    noise_g, noise = torch.randn(()), torch.randn(4)
    loss, terms = terms_of(
        lambda: run(dist.Normal(0.0, 1.0), dist.Normal(torch.zeros(4), 1.0), True),
        lambda: run(dist.Normal(0.3, 0.5), dist.Normal(LOC, 0.8), False),
        [noise_g, noise],
    )
    g = 0.3 + 0.5 * noise_g
    assert terms["g"].shape == ()
    torch.testing.assert_close(terms["g"], normal_kl(torch.tensor(0.3), torch.tensor(0.5)))
    torch.testing.assert_close(terms["z"], 10 * by_hand(noise)[0])
    torch.testing.assert_close(terms["x"], -10 * normal_log_prob(X, LOC + 0.8 * noise + g, 0.5))
    torch.testing.assert_close(loss, terms["g"] + terms["z"].sum() + terms["x"].sum())


def test_random_subsample_is_unbiased_for_the_whole():
    """Every pair of four data is as likely: the mean loss over all six subsamples is the full loss."""
    losses = []
    for chosen in torch.combinations(torch.arange(4)):

        def run(loc, chosen=chosen):
            with pyro.plate("data", 4, subsample=chosen):
                pyro.sample("z", dist.Normal(loc[chosen], 1.0))

        elbo = TraceDivergence_ELBO(max_plate_nesting=1)
        losses.append(elbo.loss(lambda run=run: run(torch.zeros(4)), lambda run=run: run(LOC)))
    assert sum(losses) / 6 == pytest.approx(normal_kl(LOC, torch.tensor(1.0)).sum().item())


@pytest.mark.parametrize("num_particles", [1, 3])
def test_nested_plates_and_a_global_site(num_particles):
    """g outside, z in the data plate, v in a plate of two inside it; per-datum terms sum over the inner plate."""
    loc_v = torch.randn(2, 4)

    def run(q, x):
        g = pyro.sample("g", dist.Normal(*((0.4, 0.6) if q else (0.0, 1.0))))
        with pyro.plate("data", 4, dim=-1):
            z = pyro.sample("z", dist.Normal(LOC, 0.8) if q else dist.Normal(g, 1.0))
            with pyro.plate("inner", 2, dim=-2):
                v = pyro.sample("v", dist.Normal(loc_v, 0.7) if q else dist.Normal(z, 1.3))
                if not q:
                    pyro.sample("x", dist.Normal(v, 0.5), obs=x)

    x = torch.randn(2, 4)
    m = num_particles
    lead = (m,) if m > 1 else ()
    noise = [torch.randn(*lead, 1, 1), torch.randn(*lead, 1, 4), torch.randn(*lead, 2, 4)]
    shapes = [(m, 1, 1), (m, 1, 4), (m, 2, 4)]
    feed = noise if m > 1 else [noise[0].reshape(()), noise[1].reshape(4), noise[2]]
    loss, terms = terms_of(lambda: run(False, x), lambda: run(True, x), feed, num_particles=m, max_plate_nesting=2)
    g, z, v = (loc + scale * eps.reshape(shape) for loc, scale, eps, shape in
               zip((0.4, LOC, loc_v), (0.6, 0.8, 0.7), noise, shapes, strict=True))  # fmt: skip
    expected = {
        "g": normal_kl(torch.tensor(0.4), torch.tensor(0.6)),
        "z": normal_kl(LOC, torch.tensor(0.8), g).mean(0)[0],
        "v": normal_kl(loc_v, torch.tensor(0.7), z, 1.3).mean(0).sum(0),
        "x": -normal_log_prob(x, v, 0.5).mean(0).sum(0),
    }
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value)
    torch.testing.assert_close(loss, sum(value.sum() for value in expected.values()))


@pytest.mark.parametrize("enumerate_in", ["guide", "model"])
def test_masks_with_enumeration(enumerate_in):
    """Mask and scale with an enumerated site: what is left is the loss of the unmasked data, Pyro's too."""
    pair, noise = Mixture(4, enumerate_in), torch.randn(4)
    losses = []
    for elbo in (TraceDivergence_ELBO(max_plate_nesting=1), TraceEnum_ELBO(max_plate_nesting=1)):
        with standard_normal_draws(noise), poutine.mask(mask=MASK), poutine.scale(scale=3.0):
            losses.append(elbo.loss(pair.model, pair.guide, pair.x))
    assert losses[0] == pytest.approx(losses[1], rel=1e-10)
    with standard_normal_draws(noise):
        _, terms = TraceDivergence_ELBO(max_plate_nesting=1).loss_and_terms(
            pair.model, pair.guide, pair.x, per_datum=True
        )
    assert losses[0] == pytest.approx(3 * sum(terms.values())[MASK].sum().item(), rel=1e-10)


def test_auxiliary_site_of_the_guide_alone():
    """A guide with a variable of its own, u: -log q(u) is part of the bound, as in Pyro."""

    def guide():
        u = pyro.sample("u", dist.Normal(1.0, 0.5), infer={"is_auxiliary": True})
        pyro.sample("z", dist.Delta(2 * u, log_density=-torch.tensor(2.0).log()))

    def model():
        pyro.sample("z", dist.Normal(0.0, 1.0))

    noise = torch.randn(())
    for elbo in (TraceDivergence_ELBO(max_plate_nesting=0), Trace_ELBO(max_plate_nesting=0)):
        with standard_normal_draws(noise):
            loss = elbo.loss(model, guide)
        z = 2 + noise
        expected = normal_log_prob(z, 2.0, 1.0) - normal_log_prob(z, 0.0, 1.0)
        assert loss == pytest.approx(expected.item())
