"""What a model is worth: rows that add up, units, and pictures for every kind of data."""

from __future__ import annotations

import pytest
import torch

from pyro_mixvae.data import DataSet, Split, load
from pyro_mixvae.metrics import clustering_scores, kmeans_baseline
from pyro_mixvae.models import GMVAE, VAE
from pyro_mixvae.training import evaluation
from pyro_mixvae.training.components import log_responsibilities
from pyro_mixvae.training.evaluation import Evaluation, evaluate

NETWORK = {"kind": "mlp", "hidden_dims": [8]}
SCORES = {"accuracy (most-confident)", "accuracy (majority)", "accuracy (one-to-one)", "NMI", "ARI", "used clusters"}


def gmvae(event_shape, likelihood="bernoulli", **options):
    networks = {"encoder": NETWORK, "decoder": NETWORK, "prior_network": NETWORK}
    return GMVAE(event_shape, 2, 3, 2, likelihood, **networks, **options).eval()


def small_digits(**changes):
    digits = load("digits")
    parts = {"train": Split(digits.train.x[:60], digits.train.y[:60])}
    parts |= {"validation": None, "test": Split(digits.test.x[:40], digits.test.y[:40]), **changes}
    return DataSet("digits", **parts, num_classes=10, class_names=digits.class_names, source="")


HISTORY = [
    {"epoch": 0, "train/loss": 3.0, "train/x": 2.0, "learning_rate": 0.1},
    {"epoch": 1, "train/loss": 2.0, "train/x": 1.5, "learning_rate": 0.1, "validation/loss": 2.5, "validation/x": 2.0},
]


@pytest.fixture(scope="module")
def digits():
    torch.manual_seed(0)
    model, data = gmvae((1, 8, 8)), small_digits()
    return model, data, evaluate(model, data, HISTORY, num_samples=20)


def test_rows(digits):
    model, data, found = digits
    assert found.part == "test"
    terms = ["reconstruction", "conditional_prior", "w_prior", "c_prior"]
    assert list(found.results)[:6] == ["loss", *terms, "log-likelihood"]
    assert set(found.results) >= {"loss", *terms, "log-likelihood"} | SCORES
    assert found.nats == ("loss", *terms, "log-likelihood")
    assert found.results["loss"] == pytest.approx(sum(found.results[term] for term in terms))
    assert set(found.baselines) == {"k-means"}
    assert set(found.baselines["k-means"]) >= SCORES
    scores = clustering_scores(model.responsibilities(data.test.x), data.test.y)
    assert found.results["accuracy (one-to-one)"] == scores["accuracy_hungarian"]
    assert found.results["NMI"] == scores["nmi"]


def test_the_most_confident_datum_is_found_among_responsibilities_of_one(monkeypatch):
    """In component 0 all are sure to single precision; the surest, last, is a 7."""
    model, data = gmvae((1, 8, 8)), small_digits()
    log_odds = torch.linspace(20.0, 60.0, 40)
    planted = torch.stack([-torch.log1p((-log_odds).exp()), -log_odds, -log_odds], -1)
    y = torch.cat([torch.full((39,), 3), torch.tensor([7])])
    data = small_digits(test=Split(data.test.x, y))
    assert (planted[:, 0].exp() == 1).all()
    monkeypatch.setattr(model, "log_responsibilities", lambda x: planted)
    assert evaluate(model, data, HISTORY, num_samples=1).results["accuracy (most-confident)"] == pytest.approx(1 / 40)


def test_a_users_model_may_have_responsibilities_alone(digits):
    class Users:
        responsibilities = staticmethod(digits[0].responsibilities)

    x = digits[1].test.x
    torch.testing.assert_close(
        log_responsibilities(Users(), x), digits[0].log_responsibilities(x), rtol=1e-4, atol=1e-4
    )


def test_terms_are_means_over_all_data(digits, monkeypatch):
    """However they are cut; only the draws of z differ."""
    model, data, found = digits
    monkeypatch.setattr("pyro_mixvae.training.evaluation.BATCH", 7)
    again = evaluate(model, data, num_samples=2)
    assert again.results["w_prior"] == pytest.approx(found.results["w_prior"], rel=1e-5)
    assert again.results["reconstruction"] == pytest.approx(found.results["reconstruction"], rel=0.05)
    assert again.results["NMI"] == found.results["NMI"]


def test_figures(digits):
    assert set(digits[2].figures) >= {"reconstructions", "objective", "components", "latent", "clusters"}


def test_same_seed_same_numbers_and_the_callers_state_is_left_alone(digits):
    model, data, found = digits
    before = torch.get_rng_state()
    again = evaluate(model, data, num_samples=20)
    assert torch.equal(torch.get_rng_state(), before)
    assert again.results == found.results
    assert again.baselines == found.baselines
    assert "objective" not in again.figures
    other = evaluate(model, data, num_samples=20, seed=1)
    assert other.results["log-likelihood"] != found.results["log-likelihood"]
    assert other.results["NMI"] == found.results["NMI"]


def test_the_last_part_there_is():
    data = small_digits(test=None)
    assert evaluate(gmvae((1, 8, 8)), data, num_samples=2).part == "train"
    data = small_digits(test=None, validation=small_digits().test)
    assert evaluate(gmvae((1, 8, 8)), data, num_samples=2).part == "validation"


def test_without_labels_and_with_missing_ones():
    digits = small_digits()
    data = DataSet("unlabelled", Split(digits.train.x), None, Split(digits.test.x), None, (), source="")
    found = evaluate(gmvae((1, 8, 8)), data, num_samples=2)
    assert not SCORES & set(found.results)
    assert not found.baselines
    assert set(found.figures) >= {"reconstructions", "components", "latent"}
    assert not {"clusters", "objective"} & set(found.figures)
    some = torch.where(torch.arange(40) % 3 == 0, -1, digits.test.y)
    data = small_digits(test=Split(digits.test.x, some))
    assert set(evaluate(gmvae((1, 8, 8)), data, num_samples=2).results) >= SCORES


@pytest.mark.parametrize("event_shape", [(2,), (5,), (3, 6, 6), (6, 6), (2, 4, 4), (1, 2, 3, 2)])
def test_other_shapes_of_data(event_shape):
    x, y = torch.randn(50, *event_shape), torch.randint(0, 3, (50,))
    data = DataSet("mine", Split(x, y), None, Split(x[:20], y[:20]), 3, ("a", "b", "c"), source="")
    found = evaluate(gmvae(event_shape, "normal"), data, HISTORY, num_samples=2)
    plane = {"density"} if event_shape == (2,) else set()
    assert set(found.figures) >= {"reconstructions", "objective", "components", "latent", "clusters"} | plane
    assert set(found.baselines) == {"k-means"} | ({"Gaussian mixture"} if len(event_shape) == 1 else set())


def test_float64_and_eight_bit():
    digits = small_digits()
    data = DataSet(
        "mine", Split((digits.train.x * 255).byte()), None, Split((digits.test.x * 255).byte()), None, (), ""
    )
    assert evaluate(gmvae((1, 8, 8)).double(), data, num_samples=2).results["loss"] > 0


def test_table():
    found = Evaluation(
        "test",
        {"loss": 12.3456, "NMI": 1.0, "used clusters": 7.0},
        {"k-means": {"NMI": 0.12345, "used clusters": 3.0}},
        nats=("loss",),
    )
    assert found.table("GMVAE") == [
        ["", "GMVAE", "k-means"],
        ["loss", "12.35", ""],
        ["NMI", "1.000", "0.123"],
        ["used clusters", "7", "3"],
    ]


def test_k_means_that_would_take_long_has_one_start(monkeypatch):
    starts = []

    def watched(train, test, labels, k, seed, num_starts):
        starts.append(num_starts)
        return kmeans_baseline(train, test, labels, k, seed, num_starts)

    monkeypatch.setattr(evaluation, "kmeans_baseline", watched)
    evaluate(gmvae((1, 8, 8)), small_digits(), num_samples=2)
    monkeypatch.setattr(evaluation, "MANY_DISTANCES", 60 * 3 - 1)
    evaluate(gmvae((1, 8, 8)), small_digits(), num_samples=2)
    assert starts == [10, 1]


def mine(num_train, num_test, event_shape, hidden=False):
    """Random data with three classes; ``hidden``: no label of the training data is known."""
    train, test = torch.rand(num_train, *event_shape), torch.rand(num_test, *event_shape)
    y = torch.full((num_train,), -1) if hidden else torch.arange(num_train) % 3
    return DataSet(
        "mine", Split(train, y), None, Split(test, torch.arange(num_test) % 3), 3, ("a", "b", "c"), source=""
    )


def vae(event_shape, **options):
    return VAE(event_shape, latent_dim=3, encoder=NETWORK, decoder=NETWORK, **options).eval()


@pytest.mark.parametrize(
    ("event_shape", "drawn"), [((1, 4, 4), True), ((4, 4), True), ((4, 4, 3), False), ((2, 4, 4), False), ((5,), False)]
)
def test_samples_are_drawn_of_images_only(event_shape, drawn):
    """Images of NumPy's layout and of two channels are none to the figures."""
    found = evaluate(vae(event_shape), mine(20, 10, event_shape), num_samples=2)
    assert ("samples" in found.figures) == drawn
    assert set(found.figures) >= {"reconstructions", "latent"}


def test_dead_units_are_those_of_the_layer_with_the_most():
    model = vae((5,))
    with torch.no_grad():
        model.decoder.layers[0].bias[:] = -100.0
    assert evaluate(model, mine(20, 10, (5,)), num_samples=2).results["dead units (%)"] == 100.0
    smooth = {**NETWORK, "activation": "gelu"}
    model = VAE((5,), latent_dim=3, encoder=smooth, decoder=smooth).eval()
    assert "dead units (%)" not in evaluate(model, mine(20, 10, (5,)), num_samples=2).results


@pytest.mark.parametrize("event_shape", [(1, 4, 4), (5,)])
@pytest.mark.parametrize("make", [vae, gmvae])
def test_one_held_out_datum(make, event_shape):
    """Neither principal components nor a variance can be had of it."""
    found = evaluate(make(event_shape), mine(20, 1, event_shape), HISTORY, num_samples=2)
    assert "latent" not in found.figures
    assert ("reconstructions" in found.figures) == (len(event_shape) == 3)
    assert "active units" not in found.results


def test_fewer_training_data_than_components_have_no_baselines():
    found = evaluate(gmvae((5,)), mine(2, 10, (5,)), num_samples=2)
    assert not found.baselines
    assert set(found.results) >= SCORES


@pytest.mark.parametrize("make", [vae, gmvae])
def test_held_out_labels_that_are_all_missing(make):
    """Without a test part the training data are looked at, whose labels may be hidden."""
    data = mine(20, 10, (1, 4, 4), hidden=True)
    data = DataSet("mine", data.train, None, None, 3, data.class_names, source="")
    found = evaluate(make((1, 4, 4)), data, num_samples=2)
    assert not SCORES & set(found.results)
    assert "clusters" not in found.figures
