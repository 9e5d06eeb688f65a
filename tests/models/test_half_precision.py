"""Under autocast the networks compute in half precision, and nothing else does."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pyro_mixvae.distributions.precision import own_precision
from pyro_mixvae.divergences import cauchy_schwarz, mmd
from pyro_mixvae.divergences.squared_distances import squared_distances
from pyro_mixvae.infer import ImportanceWeightedELBO, TraceDivergence_ELBO
from pyro_mixvae.models import CSRAE, GMVAE, VAE, Classifier, SemiSupervisedCSRAE
from pyro_mixvae.training import fit
from tests.models.every_model import NAMES, PLAIN, SHAPE, every, networks, some_data

PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "convolution"}
#: What networks are made of besides, and no logarithm, power, sum or product that a density is made of.
LAYERS = PRODUCTS | {"relu", "leaky_relu", "native_batch_norm", "add"}
#: What their outputs are cut and turned by.
SHAPES = {
    "_to_copy", "detach", "empty_like", "permute", "squeeze", "squeeze_", "t", "transpose", "unsqueeze", "_unsafe_view",
    "view",
}  # fmt: skip
#: Of the PatchGAN.
DROPOUT = {"bernoulli_", "div_", "mul"}


class Operations(TorchDispatchMode):
    """Names of the operations that took numbers in half precision."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if any(isinstance(value, torch.Tensor) and value.dtype == torch.bfloat16 for value in args):
            self.names.add(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


def narrow() -> AbstractContextManager[None]:
    return torch.autocast("cpu", torch.bfloat16)


def plain(name: str) -> tuple[torch.nn.Module, tuple[torch.Tensor, ...]]:
    return every(name), (some_data(),)


def with_labels(make: Callable[..., torch.nn.Module], **options) -> tuple[torch.nn.Module, tuple[torch.Tensor, ...]]:
    model, x = make(SHAPE, **options), some_data()
    size = (len(x),) if "num_classes" in options else (len(x), options["num_labels"])
    return model, (x, torch.randint(-1, 2, size, generator=torch.Generator().manual_seed(0)))


def pretraining(make: Callable[[], tuple[torch.nn.Module, tuple[torch.Tensor, ...]]]):
    model, batch = make()
    return model.pretraining(), batch


SEMI_SUPERVISED = {
    "semi-supervised": partial(with_labels, SemiSupervisedCSRAE, num_classes=3, likelihood="normal"),
    "semi-supervised, VampPrior": partial(
        with_labels, SemiSupervisedCSRAE, num_classes=3, prior="vamp", num_components=2
    ),
    "semi-supervised, yes or no": partial(with_labels, SemiSupervisedCSRAE, num_labels=2),
}
MAKE = (
    {name: partial(plain, name) for name in NAMES}
    | SEMI_SUPERVISED
    | {f"{name}, alone first": partial(pretraining, make) for name, make in SEMI_SUPERVISED.items()}
    | {
        "Factorial, N(0, I) first": partial(pretraining, partial(plain, "Factorial")),
        "prior with a network": lambda: (
            CSRAE(SHAPE, 2, prior={"name": "gaussian-mixture", "network": True}, num_components=3),
            (some_data(),),
        ),
        "InfoVAE": lambda: (VAE(SHAPE, 2, divergence="info-vae"), (some_data(),)),
        "classifier": partial(with_labels, Classifier, num_classes=3),
    }
)


@pytest.mark.parametrize("name", MAKE)
def test_networks_and_nothing_else(name):
    model, batch = MAKE[name]()
    elbo = model.objective()
    with narrow():
        elbo(model.model, model.guide)(*batch)  # shapes are guessed once
        with Operations() as seen:
            loss, terms = elbo.loss_and_terms(model.model, model.guide, *batch)
    assert seen.names & PRODUCTS
    assert seen.names <= LAYERS | SHAPES | (DROPOUT if name == "MPVAE" else set())
    assert loss.dtype == torch.float32
    assert {term.dtype for term in terms.values()} == {torch.float32}


@pytest.mark.parametrize("name", [name for name in MAKE if "first" not in name and name != "classifier"])
def test_what_is_returned(name):
    model, (x, *_) = MAKE[name]()
    with narrow():
        assert model.reconstruct(x).dtype == model.sample(2).dtype == torch.float32
        assert model.log_likelihood(x[:2], 3).dtype == torch.float32


@pytest.mark.parametrize("name", ["semi-supervised", "semi-supervised, VampPrior", "classifier"])
def test_probabilities_sum_to_one(name):
    model, (x, _) = MAKE[name]()
    with narrow():
        torch.testing.assert_close(model.predict_proba(x).sum(-1), torch.ones(len(x)))


def test_features_are_as_the_data():
    model, (x, _) = MAKE["classifier"]()
    with narrow():
        assert model.features(x).dtype == torch.float32


def test_integer_data():
    """Words, say: what is made of them is in single precision, or the networks' own if that is more."""
    words = torch.randint(5, (6, 4))
    encoder = torch.nn.Sequential(torch.nn.Embedding(5, 3), torch.nn.Flatten(), torch.nn.Linear(12, 7))
    model = Classifier((4,), num_classes=3, encoder=encoder, feature_dim=7)
    for precise, data in ((model, torch.float32), (copy.deepcopy(model).double(), torch.float64)):
        probabilities = precise.predict_proba(words)
        assert probabilities.dtype == data
        assert probabilities.std() > 0


#: Of processors without bfloat16.
SLOW_HERE = pytest.mark.filterwarnings("ignore:precision. bf16-mixed saves no time")


@SLOW_HERE
def test_training_leaves_autocast_on_the_way_back():
    model, seen = every("VAE"), []
    next(model.parameters()).register_hook(lambda _: seen.append(torch.is_autocast_enabled("cpu")))
    fit(model, some_data(), max_epochs=1, progress=False, accelerator="cpu", precision="bf16-mixed")
    assert seen == [False]


@SLOW_HERE
@pytest.mark.parametrize("compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_training(compile):
    """The GMVAE's c-prior is held at log K to the digits of single precision, the loss near that of wide networks."""
    rows = []
    for precision in ("32-true", "bf16-mixed"):
        torch.manual_seed(0)
        model = GMVAE(SHAPE, **networks(num_components=3, style_dim=2, prior_network=PLAIN, c_prior_floor="log K"))
        run = fit(
            model, some_data(200), max_epochs=2, batch_size=50, seed=0, progress=False, accelerator="cpu",
            precision=precision, compile=compile,
        )  # fmt: skip
        rows.append(run.history[-1])
    wide, half = rows
    assert half["train/c_prior"] == pytest.approx(math.log(3), rel=1e-6)
    assert half["train/loss"] == pytest.approx(wide["train/loss"], rel=0.02)
    assert half["train/loss"] == pytest.approx(
        sum(half[f"train/{name}"] for name in ("reconstruction", "conditional_prior", "w_prior", "c_prior")), rel=1e-5
    )


# --- what has matrix products of its own -----------------------------------------------------------------------------


def agree(compute: Callable[..., torch.Tensor], *arguments: torch.Tensor) -> None:
    """Value within autocast, and gradients taken as ``fit`` does, are those without it."""
    arguments = tuple(argument.requires_grad_() for argument in arguments)
    value = compute(*arguments)
    gradients = torch.autograd.grad(value, arguments)
    with narrow():
        again = compute(*arguments)
        torch.testing.assert_close(again, value, rtol=1e-6, atol=1e-6)
        with own_precision(again):
            torch.testing.assert_close(torch.autograd.grad(again, arguments), gradients, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kernel", ["imq", "gaussian"])
def test_mmd(kernel):
    x, y = torch.randn(20, 3), torch.randn(30, 3)
    agree(lambda x, y: mmd(x, y, kernel=kernel), x, y)


def test_cauchy_schwarz_of_multivariate_normals():
    first, second = (torch.eye(3) + 0.3 * torch.randn(3, 3).tril().abs() for _ in range(2))

    def divergence(*roots: torch.Tensor) -> torch.Tensor:
        return cauchy_schwarz(*(dist.MultivariateNormal(torch.arange(3.0), scale_tril=root) for root in roots))

    agree(divergence, first, second)


def test_squared_distances_on_the_way_back():
    """Within autocast altogether, as in a loop that does not leave it."""
    x, y, weights = torch.randn(6, 3, requires_grad=True), torch.randn(5, 3), torch.randn(6, 5)
    (gradient,) = torch.autograd.grad((weights * squared_distances(x, y)).sum(), x)
    with narrow():
        (again,) = torch.autograd.grad((weights * squared_distances(x, y)).sum(), x)
    torch.testing.assert_close(again, gradient)


def test_devices_without_autocast():
    assert mmd(torch.zeros(4, 2, device="meta"), torch.zeros(3, 2, device="meta")).is_meta


@pytest.mark.parametrize("elbo", [TraceDivergence_ELBO(max_plate_nesting=1), ImportanceWeightedELBO(2)])
@pytest.mark.parametrize("enumerated_in", ["model", "guide"])
def test_enumerated_chains(elbo, enumerated_in):
    """Two discrete variables, one given the other: the sum over both is a product of matrices."""
    first, second, rows = torch.randn(4, 3), torch.randn(3, 5), torch.randn(4, 5, 7)

    def chain(infer: dict[str, str], first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        a = pyro.sample("a", dist.Categorical(logits=first), infer=infer)
        return pyro.sample("b", dist.Categorical(logits=second[a]), infer=infer)

    def model(*logits: torch.Tensor) -> None:
        with pyro.plate("data", 4) as i:
            b = chain({"enumerate": "parallel"} if enumerated_in == "model" else {}, *logits)
            pyro.sample("x", dist.Categorical(logits=rows[i, b]), obs=torch.zeros(4))

    def guide(*logits: torch.Tensor) -> None:
        if enumerated_in == "guide":
            with pyro.plate("data", 4):
                chain({"enumerate": "parallel"}, *logits)

    agree(lambda *logits: elbo.loss_and_terms(model, guide, *logits)[0], first, second)
