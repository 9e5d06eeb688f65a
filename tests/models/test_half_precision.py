"""Under autocast the networks compute in half precision, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pyro_mixvae.divergences import cauchy_schwarz, mmd
from pyro_mixvae.infer import ImportanceWeightedELBO, TraceDivergence_ELBO
from pyro_mixvae.models import Classifier, SemiSupervisedCSRAE
from pyro_mixvae.training import fit
from tests.models.every_model import NAMES, SHAPE, every, some_data

#: What a network's layer is not made of: where densities and divergences are computed.
MATHEMATICS = ("log", "exp", "pow", "sqrt", "rsqrt", "reciprocal", "sum", "lgamma", "digamma", "softplus")
PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "convolution")


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


MAKE = {name: partial(plain, name) for name in NAMES} | {
    "semi-supervised": partial(with_labels, SemiSupervisedCSRAE, num_classes=3),
    "semi-supervised, VampPrior": partial(
        with_labels, SemiSupervisedCSRAE, num_classes=3, prior="vamp", num_components=2
    ),
    "semi-supervised, yes or no": partial(with_labels, SemiSupervisedCSRAE, num_labels=2),
    "classifier": partial(with_labels, Classifier, num_classes=3),
}


@pytest.mark.parametrize("name", MAKE)
def test_networks_and_nothing_else(name):
    model, batch = MAKE[name]()
    elbo = model.objective()
    with narrow():
        elbo(model.model, model.guide)(*batch)  # shapes are guessed once
        with Operations() as seen:
            loss, terms = elbo.loss_and_terms(model.model, model.guide, *batch)
    assert seen.names & set(PRODUCTS)
    assert not {name for name in seen.names if name.strip("_") in MATHEMATICS or "softmax" in name}
    assert loss.dtype == torch.float32
    assert {term.dtype for term in terms.values()} == {torch.float32}
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_returned(name):
    model, x = every(name), some_data()
    with narrow():
        assert model.reconstruct(x).dtype == model.sample(2).dtype == torch.float32
        assert model.log_likelihood(x[:2], 3).dtype == torch.float32


@pytest.mark.parametrize("name", ["semi-supervised", "semi-supervised, VampPrior", "classifier"])
def test_probabilities_sum_to_one(name):
    model, (x, _) = MAKE[name]()
    with narrow():
        torch.testing.assert_close(model.predict_proba(x).sum(-1), torch.ones(len(x)))


@pytest.mark.parametrize("compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_training(compile):
    """The GMVAE's c-prior is held at log K to the digits of single precision, the loss near that of wide networks."""
    rows = []
    for precision in ("32-true", "bf16-mixed"):
        run = fit(
            every("GMVAE"), some_data(200), max_epochs=2, batch_size=50, seed=0, progress=False, accelerator="cpu",
            precision=precision, compile=compile,
        )  # fmt: skip
        rows.append(run.history[-1])
    wide, half = rows
    assert half["train/loss"] == pytest.approx(wide["train/loss"], rel=0.02)
    assert half["train/loss"] == pytest.approx(
        sum(half[f"train/{name}"] for name in ("reconstruction", "conditional_prior", "w_prior", "c_prior")), rel=1e-5
    )


# --- what has matrix products of its own -----------------------------------------------------------------------------


def agree(compute: Callable[[], torch.Tensor]) -> None:
    wide = compute()
    with narrow():
        torch.testing.assert_close(compute(), wide, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kernel", ["imq", "gaussian"])
def test_mmd(kernel):
    x, y = torch.randn(20, 3), torch.randn(30, 3)
    agree(lambda: mmd(x, y, kernel=kernel))


def test_cauchy_schwarz_of_multivariate_normals():
    q, p = (
        dist.MultivariateNormal(torch.randn(3), scale_tril=torch.eye(3) + 0.3 * torch.randn(3, 3).tril())
        for _ in range(2)
    )
    agree(lambda: cauchy_schwarz(q, p))


@pytest.mark.parametrize("elbo", [TraceDivergence_ELBO(max_plate_nesting=1), ImportanceWeightedELBO(2)])
@pytest.mark.parametrize("enumerated_in", ["model", "guide"])
def test_enumerated_chains(elbo, enumerated_in):
    """Two discrete variables, one given the other: the sum over both is a product of matrices."""
    first, second, rows = torch.randn(4, 3), torch.randn(3, 5), torch.randn(4, 5, 7)

    def chain(infer: dict[str, str]) -> torch.Tensor:
        a = pyro.sample("a", dist.Categorical(logits=first), infer=infer)
        return pyro.sample("b", dist.Categorical(logits=second[a]), infer=infer)

    def model() -> None:
        with pyro.plate("data", 4) as i:
            b = chain({"enumerate": "parallel"} if enumerated_in == "model" else {})
            pyro.sample("x", dist.Categorical(logits=rows[i, b]), obs=torch.zeros(4))

    def guide() -> None:
        if enumerated_in == "guide":
            with pyro.plate("data", 4):
                chain({"enumerate": "parallel"})

    agree(lambda: elbo.loss_and_terms(model, guide)[0])
