"""Which divergence a site gets, which sites are sampled, and what is refused."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO
from pyro.infer.autoguide import AutoNormal
from torch.distributions import kl_divergence

from pyro_mixvae.distributions import GaussianMixture
from pyro_mixvae.infer import KL, FreeBits, Site, SiteDivergence, TraceDivergence_ELBO
from tests.infer.pairs import normal_kl, normal_log_prob, standard_normal_draws

pytestmark = pytest.mark.usefixtures("float64")

DOUBLE = torch.float64
LOC, SCALE = torch.tensor([[0.5, -1.0], [2.0, 0.3], [0.0, 1.0]], dtype=DOUBLE), 0.6


def pair(p_z, q_z, p_v=None, q_v=None):
    """One or two latent sites in a plate of three data."""

    def run(z, v):
        with pyro.plate("data", 3):
            pyro.sample("z", z)
            if v is not None:
                pyro.sample("v", v)

    return (lambda: run(p_z, p_v)), (lambda: run(q_z, q_v))


def gaussian(loc=0.0, scale=1.0):
    return dist.Normal(torch.zeros(3, 2) + loc, scale).to_event(1)


MIXTURE = GaussianMixture(
    torch.zeros(2, dtype=DOUBLE),
    torch.tensor([[-1.0, 0.0], [1.0, 0.5]], dtype=DOUBLE),
    torch.tensor([[0.5, 1.0], [1.0, 2.0]], dtype=DOUBLE),
)


def mixture_log_prob(z):
    each = normal_log_prob(z.unsqueeze(-2), MIXTURE.locs, MIXTURE.scales).sum(-1)
    return each.logsumexp(-1) - math.log(2)


def test_closed_form_where_registered_else_the_sampled_ratio():
    """z against a mixture has no closed form; v against a Gaussian has one. Only z is listed as sampled."""
    model, guide = pair(MIXTURE, gaussian(LOC, SCALE), gaussian(), gaussian(LOC, 2 * SCALE))
    elbo = TraceDivergence_ELBO(max_plate_nesting=1)
    noise = torch.randn(2, 3, 2)
    with standard_normal_draws(*noise):
        _, terms = elbo.loss_and_terms(model, guide, per_datum=True)
    z = LOC + SCALE * noise[0]
    torch.testing.assert_close(terms["z"], normal_log_prob(z, LOC, SCALE).sum(-1) - mixture_log_prob(z))
    torch.testing.assert_close(terms["v"], normal_kl(LOC, torch.tensor(2 * SCALE)).sum(-1))
    assert elbo.sampled_sites == ("z",)
    elbo.loss(*pair(gaussian(), gaussian(LOC, SCALE)))
    assert elbo.sampled_sites == (), "the list is of the last evaluation"


@pytest.mark.parametrize(
    "build, expected",
    [
        (lambda: 0.25 * KL(), lambda forward, reverse: 0.25 * forward),
        (lambda: KL() * 3, lambda forward, reverse: 3 * forward),
        (lambda: KL() + 0.5 * SiteDivergence(reverse_kl), lambda forward, reverse: forward + 0.5 * reverse),
        (lambda: 2 * (KL() + SiteDivergence(reverse_kl)), lambda forward, reverse: 2 * (forward + reverse)),
        (lambda: torch.tensor(0.1) * KL(), lambda forward, reverse: 0.1 * forward),
        (lambda: 0 * KL(), lambda forward, reverse: 0 * forward),
    ],
)
def test_sums_and_scales(build, expected):
    forward = normal_kl(LOC, torch.tensor(SCALE)).sum(-1)
    reverse = normal_kl(torch.zeros(3, 2), torch.tensor(1.0), LOC, SCALE).sum(-1)
    elbo = TraceDivergence_ELBO({"z": build()}, max_plate_nesting=1)
    _, terms = elbo.loss_and_terms(*pair(gaussian(), gaussian(LOC, SCALE)), per_datum=True)
    torch.testing.assert_close(terms["z"], expected(forward, reverse))


def reverse_kl(q, p):
    return kl_divergence(p, q)


def test_weight_as_a_tensor_is_moved_by_a_schedule():
    weight = torch.tensor(0.0)
    elbo = TraceDivergence_ELBO({"z": weight * KL()}, max_plate_nesting=1)
    model, guide = pair(gaussian(), gaussian(LOC, SCALE))
    assert elbo.loss(model, guide) == 0
    weight.fill_(0.5)
    assert elbo.loss(model, guide) == pytest.approx(0.5 * normal_kl(LOC, torch.tensor(SCALE)).sum().item())


def test_what_a_divergence_is_shown():
    seen: list[Site] = []

    class Look(SiteDivergence):
        def __init__(self):
            pass

        def __call__(self, site):
            seen.append(site)
            return site.log_ratio()

    elbo = TraceDivergence_ELBO({"z": Look()}, num_particles=4, max_plate_nesting=1)
    elbo.loss(*pair(gaussian(), gaussian(LOC, SCALE)))
    (site,) = seen
    assert (site.name, site.data_dim, site.particle_dim, site.mask) == ("z", -1, -2, None)
    assert site.plate_shape == (4, 3) and site.value.shape == (4, 3, 2)
    assert site.q.batch_shape == site.p.batch_shape == (4, 3)
    assert site.guide_trace.nodes["z"]["value"] is site.model_trace.nodes["z"]["value"] is site.value
    assert elbo.sampled_sites == ("z",)
    with pytest.raises(AttributeError):
        site.name = "other"


def test_repr():
    divergence = 2 * (KL() + FreeBits(0.5 * KL(), floor=1.0))
    assert repr(divergence) == "2 * (KL() + FreeBits(0.5 * KL(), floor=1))"
    assert repr(TraceDivergence_ELBO({"z": torch.tensor(0.5) * KL()})) == (
        "TraceDivergence_ELBO({'z': 0.5 * KL()}, num_particles=1)"
    )


# --- the default stays an evidence lower bound -----------------------------------------------------------------------


def ladder_model():
    v = pyro.sample("v", dist.Normal(0.0, 1.0))
    z = pyro.sample("z", dist.Normal(v, 1.0))
    pyro.sample("x", dist.Normal(z, 1.0), obs=torch.tensor(1.5))


def ladder_posterior():
    """p(z | x) p(v | z): the exact posterior, drawn in the other order."""
    z = pyro.sample("z", dist.Normal(1.0, (2 / 3) ** 0.5))
    pyro.sample("v", dist.Normal(z / 2, 0.5**0.5))


def test_ladder_is_tight_at_the_posterior_although_the_guide_draws_bottom_up():
    """p(z | v) looks ahead to v, which the guide draws after z. Four noiseless draws make every mean exact."""
    elbo = TraceDivergence_ELBO(num_particles=4, max_plate_nesting=0)
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    with standard_normal_draws(signs[:, 0], signs[:, 1]):
        loss = elbo.loss(ladder_model, ladder_posterior)
    evidence = normal_log_prob(torch.tensor(1.5), 0.0, 3**0.5).item()
    assert -loss == pytest.approx(evidence, abs=1e-12)
    assert elbo.sampled_sites == ("z",)


def test_closed_form_where_p_looks_ahead_is_another_objective():
    """Asked for, it is given: E_v KL(q(z) || p(z | v)), which is not the ELBO's term."""
    elbo = TraceDivergence_ELBO({"z": KL()}, num_particles=4, max_plate_nesting=0)
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    with standard_normal_draws(signs[:, 0], signs[:, 1]):
        _, terms = elbo.loss_and_terms(ladder_model, ladder_posterior)
    v_squared_error = (1 - 0.5) ** 2 + (2 / 3) / 4 + 0.5  # E (1 - v)^2
    assert terms["z"].item() == pytest.approx(0.5 * (2 / 3 + v_squared_error - 1 - math.log(2 / 3)), abs=1e-12)
    assert elbo.sampled_sites == ()
    weighted = TraceDivergence_ELBO(max_plate_nesting=0).weighted({"z": torch.tensor(1.0)})
    weighted.loss(ladder_model, ladder_posterior)
    assert weighted.sampled_sites == ("z",), "a warm-up does not change what is estimated"


def test_default_never_exceeds_the_evidence_where_the_closed_form_does():
    """Opposite signs are likely under x, equal ones under the prior; q(c | z) takes the opposite sign of z.

    The closed form sees z and c as independent and reports a bound above the evidence log Phi(-3), the default does
    not: means of 5,000 particles, half a nat and more away, which is over ten standard errors.
    """

    def model():
        c = pyro.sample("c", dist.Bernoulli(0.5))
        z = pyro.sample("z", dist.Normal(6 * c - 3, 1.0))
        pyro.factor("x", torch.where((z > 0) == (c > 0), -50.0, 0.0))

    def guide():
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        c = dist.Bernoulli(logits=torch.where(z > 0, -30.0, 30.0))
        pyro.sample("c", c, infer={"enumerate": "parallel"})

    evidence = math.log(0.5 * math.erfc(3 / 2**0.5))
    default = TraceDivergence_ELBO(num_particles=5000, max_plate_nesting=0)
    closed = TraceDivergence_ELBO({"z": KL()}, num_particles=5000, max_plate_nesting=0)
    assert -default.loss(model, guide) < evidence - 0.5
    assert -closed.loss(model, guide) > evidence + 0.5


def test_autoguide_on_a_positive_variable(no_global_parameters):
    """AutoNormal's Delta carries the Jacobian in its log_density, which Pyro's KL of a Delta leaves out."""

    def model():
        pyro.sample("s", dist.Gamma(2.0, 3.0))

    guide = AutoNormal(model, init_loc_fn=lambda site: torch.tensor(0.4), init_scale=0.5)
    guide()
    noise = torch.randn(6)
    losses = []
    for elbo in (TraceDivergence_ELBO, Trace_ELBO):
        with standard_normal_draws(noise):
            losses.append(elbo(num_particles=6, vectorize_particles=True, max_plate_nesting=0).loss(model, guide))
    u = math.log(0.4) + 0.5 * noise
    log_p = 2 * math.log(3.0) + u - 3 * u.exp()  # Gamma(2, 3) at e^u
    expected = (normal_log_prob(u, math.log(0.4), 0.5) - u - log_p).mean().item()
    assert losses == pytest.approx([expected, expected])


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [-1, -0.5, math.nan, math.inf, torch.tensor(-1.0), torch.tensor(math.nan)])
def test_weights_are_finite_and_not_negative(weight):
    with pytest.raises(ValueError, match="weight: expected a finite number >= 0, got"):
        weight * KL()


def test_weights_are_scalars():
    with pytest.raises(ValueError, match=r"0-d tensor, got shape \(2,\)"):
        KL() * torch.ones(2)
    for other in ("2", None):
        with pytest.raises(TypeError):
            KL() * other
    with pytest.raises(TypeError):
        KL() + 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"divergences": {"z": 1.0}}, r"divergences\['z'\]: expected a SiteDivergence.*got 1.0"),
        ({"divergences": {"z": kl_divergence}}, r"divergences\['z'\].*SiteDivergence\(fn\) wraps a function"),
        ({"divergences": KL()}, r"divergences: expected a mapping by site name.*got KL\(\)"),
        ({"num_particles": 0}, "num_particles: expected an integer >= 1, got 0"),
        (
            {"divergences": {"z": 2 * FreeBits(KL(), 1.0)}, "num_particles": 2, "vectorize_particles": False},
            r"divergences\['z'\]: FreeBits.*vectorize_particles=True",
        ),
    ],
)
def test_constructor(arguments, message):
    with pytest.raises(ValueError, match=message):
        TraceDivergence_ELBO(**arguments)


def test_site_divergence_wants_a_function():
    with pytest.raises(ValueError, match="fn: expected a function of two distributions, got 3"):
        SiteDivergence(3)


def test_unknown_sites():
    elbo = TraceDivergence_ELBO({"zz": KL()}, max_plate_nesting=1)
    with pytest.raises(ValueError, match=r"divergences\['zz'\]: no latent site of that name.*they share 'z', 'v'"):
        elbo.loss(*pair(gaussian(), gaussian(), gaussian(), gaussian()))
    with pytest.raises(ValueError, match=r"divergences\['x'\]"):
        TraceDivergence_ELBO({"x": KL()}, max_plate_nesting=0).loss(ladder_model, ladder_posterior)


def test_shape_that_does_not_fit_the_plates():
    elbo = TraceDivergence_ELBO({"z": SiteDivergence(lambda q, p: q.mean - p.mean)}, max_plate_nesting=1)
    message = r"divergences\['z'\]: SiteDivergence\(<lambda>\) returned shape \(3, 2\).*plates \(3,\)"
    with pytest.raises(ValueError, match=message):
        elbo.loss(*pair(gaussian(), gaussian()))


@pytest.mark.parametrize(
    "handler, message",
    [
        (lambda fn: poutine.scale(fn, 2.0), "the model scales the site by 2.0, the guide by 1.0"),
        (lambda fn: poutine.mask(fn, mask=torch.tensor([True, False, True])), "mask differs between model and guide"),
    ],
)
def test_scale_or_mask_on_one_side_only(handler, message):
    """Named: refused. Not named: the sampled ratio, as in Pyro, and listed."""
    model, guide = pair(gaussian(), gaussian(LOC, SCALE))
    with pytest.raises(ValueError, match=rf"divergences\['z'\]: .*{message}"):
        TraceDivergence_ELBO({"z": KL()}, max_plate_nesting=1).loss(handler(model), guide)
    default, noise = TraceDivergence_ELBO(max_plate_nesting=1), torch.randn(3, 2)
    losses = []
    for elbo in (default, Trace_ELBO(max_plate_nesting=1)):
        with standard_normal_draws(noise):
            losses.append(elbo.loss(handler(model), guide))
    assert losses[0] == pytest.approx(losses[1])
    assert default.sampled_sites == ("z",)


def test_nothing_to_compare():
    with pytest.raises(ValueError, match="no sample sites"):
        TraceDivergence_ELBO(max_plate_nesting=0).loss(lambda: None, lambda: None)
