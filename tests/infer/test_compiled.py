"""Compiled objectives: the same loss, terms, gradients and buffers as eager ones, whatever changes between calls."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO, TraceEnum_ELBO
from pyro.nn import PyroModule, PyroParam, pyro_method
from torch import Tensor, nn

from pyro_mixvae.distributions import GaussianMixture
from pyro_mixvae.infer import (
    KL,
    MMD,
    AggregateKL,
    CaptureError,
    CauchySchwarz,
    IndividualKL,
    TraceDivergence_ELBO,
    compiled,
)
from pyro_mixvae.infer.compiled import MAX_GRAPHS
from pyro_mixvae.models import GMVAE, VAE
from pyro_mixvae.nn import MLP, diagonal_normal

DIM, BATCH = 6, 10
EAGER = {"backend": "eager"}
INDUCTOR = {"options": {"fallback_random": True}}


def gmvae(**options: Any) -> GMVAE:
    network = {"kind": "mlp", "hidden_dims": [8], "batch_norm": True}
    return GMVAE((DIM,), 3, 5, 2, encoder=network, decoder=network, prior_network=network, **options)


class Pair(PyroModule):
    """A VAE with a learned mixture prior, one of whose parameters is constrained."""

    def __init__(self) -> None:
        super().__init__(f"pair_{id(self)}")
        self.encoder, self.decoder = MLP((DIM,), (6,), [8]), MLP((3,), (DIM,), [8])
        self.locs = nn.Parameter(torch.randn(4, 3))
        self.scales = PyroParam(torch.full((4, 3), 0.7), dist.constraints.positive)

    @pyro_method
    def model(self, x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", GaussianMixture(torch.zeros(4), self.locs, self.scales).expand((len(x),)))
            pyro.sample("x", dist.Bernoulli(logits=self.decoder(z), validate_args=False).to_event(1), obs=x)

    @pyro_method
    def guide(self, x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            pyro.sample("z", diagonal_normal(self.encoder(x)))


def our(**divergences: Any) -> TraceDivergence_ELBO:
    return TraceDivergence_ELBO(divergences, max_plate_nesting=1)


def vae(**options: Any) -> VAE:
    network = {"kind": "mlp", "hidden_dims": [8]}
    return VAE((DIM,), 2, encoder=network, decoder=network, **options)


def own(model: Any) -> TraceDivergence_ELBO:
    return model.objective()


OBJECTIVES: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "GMVAE": (gmvae, own),
    "GMVAE with floor": (lambda: gmvae(c_prior_floor=0.3), own),
    "GMVAE, M = 3": (lambda: gmvae(num_particles=3), own),
    "GMVAE, M = 3, with floor and noise": (lambda: gmvae(num_particles=3, c_prior_floor=0.3, input_noise=0.1), own),
    "Cauchy-Schwarz to a mixture": (Pair, lambda _: our(z=0.5 * CauchySchwarz())),
    "sampled KL and MMD": (Pair, lambda _: our(z=KL() + 10 * MMD())),
    "aggregate KL": (Pair, lambda _: our(z=AggregateKL())),
    "Trace_ELBO": (Pair, lambda _: Trace_ELBO(max_plate_nesting=1)),
    "TraceEnum_ELBO, guide": (gmvae, lambda _: TraceEnum_ELBO(max_plate_nesting=1)),
    "TraceEnum_ELBO, model": (lambda: gmvae(enumerate_in="model"), lambda _: TraceEnum_ELBO(max_plate_nesting=1)),
    "importance-weighted": (lambda: vae(importance_samples=3), own),
    "importance-weighted, DReG": (lambda: vae(importance_samples=3, estimator="dreg"), own),
    "VampPrior": (lambda: vae(prior="vamp", num_components=3), own),
    "Cauchy-Schwarz to a VampPrior": (
        lambda: vae(prior="vamp", num_components=3, divergence="cauchy-schwarz", scale=0.5),
        own,
    ),
    "individual and aggregate KL": (Pair, lambda _: our(z=IndividualKL() + AggregateKL("sampled"))),
}


#: One of each kind goes through the compiler, which takes ten seconds and more for each; all but one in --full only.
COMPILED: list[Any] = [
    "Trace_ELBO",
    *(pytest.param(name, marks=pytest.mark.compile) for name in ("GMVAE with floor", "Cauchy-Schwarz to a mixture")),
]


def assert_same(model: nn.Module, eager: nn.Module, graph: nn.Module, *args: Any, seed: int = 3) -> None:
    """One call of each from the same state and seed: loss, terms, gradients and buffers afterwards."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    outcomes = []
    for objective in (eager, graph):
        model.load_state_dict(before)
        model.zero_grad()
        torch.manual_seed(seed)
        loss = objective(*args)
        (0.3 * loss).backward()
        assert not any(term.requires_grad for term in getattr(objective, "last_terms", {}).values())
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        buffers = {name: value.clone() for name, value in model.named_buffers()}
        outcomes.append((loss.detach(), dict(getattr(objective, "last_terms", {})), gradients, buffers))
    (loss, terms, gradients, buffers), other = outcomes
    torch.testing.assert_close(other[0], loss, rtol=1e-5, atol=0)
    assert list(other[1]) == list(terms)
    for name in terms:
        torch.testing.assert_close(other[1][name], terms[name], rtol=1e-5, atol=1e-5)
    for name, gradient in gradients.items():
        if gradient is None:
            assert other[2][name] is None
        else:
            assert (other[2][name] - gradient).norm() <= 1e-5 * gradient.norm() + 1e-6, name
    for name in buffers:
        torch.testing.assert_close(other[3][name], buffers[name], rtol=1e-5, atol=1e-6)


def pair_of(name: str, **options: Any) -> tuple[nn.Module, nn.Module, Any]:
    make, objective = OBJECTIVES[name]
    model = make()
    eager = objective(model)(model.model, model.guide)
    return model, eager, compiled(eager, **options)


def gmvae_pair(**options: Any) -> tuple[GMVAE, nn.Module, Any]:
    model = gmvae()
    eager = model.objective()(model.model, model.guide)
    return model, eager, compiled(eager, **EAGER, **options)


# --- the same as eager -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OBJECTIVES)
def test_captured_objective_is_the_eager_one(name: str) -> None:
    model, eager, graph = pair_of(name, **EAGER)
    x = torch.rand(BATCH, DIM)
    graph(x)
    assert graph.num_graphs == 0
    assert_same(model, eager, graph, x)
    assert graph.num_graphs == 1
    assert_same(model, eager, graph, torch.rand(BATCH, DIM), seed=4)


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_objective_is_the_eager_one(name: str) -> None:
    model, eager, graph = pair_of(name, **INDUCTOR)
    x = torch.rand(BATCH, DIM)
    graph(x)
    assert_same(model, eager, graph, x)
    assert graph.num_graphs == 1
    assert_same(model, eager, graph, torch.rand(BATCH, DIM), seed=4)


@pytest.mark.compile
def test_inductors_own_noise_is_fresh_and_follows_the_seed() -> None:
    model = gmvae()
    graph = compiled(model.objective()(model.model, model.guide))
    x = torch.rand(BATCH, DIM)
    graph(x)
    torch.manual_seed(1)
    first, second = graph(x).item(), graph(x).item()
    torch.manual_seed(1)
    assert graph(x).item() == first != second


@pytest.mark.compile
def test_aot_autograd_keeps_the_graph() -> None:
    model, eager, _ = gmvae_pair()
    graph = compiled(eager, backend="aot_eager")
    x = torch.rand(BATCH, DIM)
    graph(x)
    assert_same(model, eager, graph, x)


def test_seeds_and_fresh_noise() -> None:
    _, _, graph = gmvae_pair()
    x = torch.rand(BATCH, DIM)
    graph(x)
    graph(x)
    losses = [graph(x).item() for _ in range(3)]
    assert len(set(losses)) == 3
    torch.manual_seed(7)
    again = graph(x).item()
    torch.manual_seed(7)
    assert graph(x).item() == again


def test_capture_leaves_everything_as_it_was() -> None:
    model, eager, graph = gmvae_pair()
    x = torch.rand(BATCH, DIM)
    graph(x)
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    random_state, validates = torch.get_rng_state(), dist.Normal(0, 1)._validate_args
    stored = set(pyro.get_param_store().keys())
    with torch.no_grad():
        from pyro_mixvae.infer.compiled_graph import state_of
        from pyro_mixvae.infer.recording import record

        record(eager, state_of(eager)[0], ((x,), {}))
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(value, buffers[name]) for name, value in model.named_buffers())
    assert set(pyro.get_param_store().keys()) == stored
    assert dist.Normal(0, 1)._validate_args == validates
    assert all(type(value) is Tensor for value in eager.last_terms.values())


# --- what changes between calls --------------------------------------------------------------------------------------


def test_batch_norm_moves_once_for_each_call() -> None:
    model, _, graph = gmvae_pair()
    for count in range(1, 6):
        graph(torch.rand(BATCH, DIM))
        assert {value.item() for name, value in model.named_buffers() if name.endswith("tracked")} == {count}


def test_gradients_accumulate() -> None:
    model, eager, graph = gmvae_pair()
    parts = torch.rand(2, BATCH, DIM)
    graph(parts[0])
    sums = []
    model.eval()
    for objective in (eager, graph, graph):
        model.zero_grad()
        torch.manual_seed(5)
        for part in parts:
            (objective(part) / 2).backward()
        sums.append([parameter.grad.clone() for parameter in model.parameters()])
    torch.testing.assert_close(sums[1], sums[0])
    torch.testing.assert_close(sums[2], sums[0])


def test_schedule_is_read_at_each_call() -> None:
    model = gmvae()
    weight = torch.tensor(0.0)
    eager = model.objective().weighted({"z": weight})(model.model, model.guide)
    graph = compiled(eager, **EAGER)
    x = torch.rand(BATCH, DIM)
    graph(x)
    terms = []
    for value in (0.0, 0.5, 1.0):
        weight.fill_(value)
        assert_same(model, eager, graph, x)
        terms.append(graph.last_terms["z"].item())
    assert graph.num_graphs == 1
    assert terms[0] == 0 and terms[2] == pytest.approx(2 * terms[1], rel=1e-5)


def test_short_last_batch_is_eager_and_right() -> None:
    model, eager, graph = gmvae_pair()
    for _ in range(3):
        for size in (BATCH, BATCH, 4):
            graph(torch.rand(size, DIM))
    assert graph.num_graphs == 1
    assert_same(model, eager, graph, torch.rand(4, DIM))
    graph(torch.rand(4, DIM))
    assert graph.num_graphs == 2


def test_training_and_evaluation_have_graphs_of_their_own() -> None:
    model, eager, graph = gmvae_pair()
    x = torch.rand(BATCH, DIM)
    for training in (True, False, True, False):
        model.train(training)
        graph(x)
        assert_same(model, eager, graph, x)
    assert graph.num_graphs == 2
    assert graph.training and not model.training


def test_frozen_parameters_get_no_gradient() -> None:
    model, eager, graph = gmvae_pair()
    x = torch.rand(BATCH, DIM)
    graph(x)
    assert_same(model, eager, graph, x)
    model.encoder.requires_grad_(False)
    graph(x)
    assert_same(model, eager, graph, x)
    assert graph.num_graphs == 2
    assert all(parameter.grad is None for parameter in model.encoder.parameters())
    model.requires_grad_(False)
    graph(x)
    assert not graph(x).requires_grad


def test_no_graph_of_autograd_without_gradients() -> None:
    _, _, graph = gmvae_pair()
    x = torch.rand(BATCH, DIM)
    with torch.no_grad():
        losses = [graph(x) for _ in range(3)]
    assert not any(loss.requires_grad for loss in losses)
    assert graph.num_graphs == 1


def test_double_precision_is_another_graph() -> None:
    model, eager, graph = gmvae_pair()
    x = torch.rand(BATCH, DIM)
    graph(x)
    graph(x)
    model.double()
    graph(x.double())
    assert_same(model, eager, graph, x.double())
    assert graph.num_graphs == 2


def test_autocast() -> None:
    model, eager, graph = gmvae_pair()
    x = torch.rand(BATCH, DIM)
    with torch.autocast("cpu", torch.bfloat16):
        graph(x)
        torch.manual_seed(3)
        loss = graph(x)
        torch.manual_seed(3)
        expected = eager(x)
    assert graph.num_graphs == 1
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)
    found = torch.autograd.grad(loss, list(model.parameters()))
    for gradient, other in zip(found, torch.autograd.grad(expected, list(model.parameters())), strict=True):
        assert gradient.dtype == torch.float32
        torch.testing.assert_close(gradient, other, rtol=1e-3, atol=1e-3)
    loss = graph(x)
    assert graph.num_graphs == 1 and loss.dtype == torch.float32


def test_arguments_get_gradients_too() -> None:
    model, eager, graph = gmvae_pair()
    model.eval()
    x = torch.rand(BATCH, DIM, requires_grad=True)
    graph(x)
    gradients = []
    for objective in (eager, graph):
        torch.manual_seed(2)
        gradients.append(torch.autograd.grad(objective(x), x)[0])
    torch.testing.assert_close(gradients[1], gradients[0])


def test_second_backward_needs_retain_graph_and_second_derivatives_are_refused() -> None:
    model, _, graph = gmvae_pair()
    x = torch.rand(BATCH, DIM)
    graph(x)
    loss = graph(x)
    loss.backward(retain_graph=True)
    once = model.encoder.layers[0].weight.grad.clone()
    loss.backward()
    torch.testing.assert_close(model.encoder.layers[0].weight.grad, 2 * once)
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()
    gradient = torch.autograd.grad(graph(x), model.encoder.layers[0].weight, create_graph=True)[0]
    with pytest.raises(RuntimeError, match=r"once_differentiable|differentiate twice|does not require grad"):
        gradient.sum().backward()


def test_handlers_around_a_call_are_heeded() -> None:
    _, eager, graph = gmvae_pair()
    graph.eval()
    eager.eval()
    x = torch.rand(BATCH, DIM)
    graph(x)
    graph(x)
    with poutine.scale(scale=2.0):
        torch.manual_seed(1)
        loss = graph(x)
        torch.manual_seed(1)
        assert loss == eager(x)


def test_many_kinds_of_calls_stop_costing_graphs() -> None:
    _, _, graph = gmvae_pair()
    graph.requires_grad_(False)
    for size in range(2, MAX_GRAPHS + 4):
        graph(torch.rand(size, DIM))
        graph(torch.rand(size, DIM))
    assert graph.num_graphs == MAX_GRAPHS


# --- as a module -----------------------------------------------------------------------------------------------------


def test_parameters_are_the_models_own_also_for_stock_objectives() -> None:
    model = gmvae()
    for elbo in (model.objective(), TraceEnum_ELBO(max_plate_nesting=1)):
        graph = compiled(elbo(model.model, model.guide))
        assert {id(p) for p in graph.parameters()} == {id(p) for p in model.parameters()}
        assert graph.objective.model == model.model


def test_copies_and_states() -> None:
    _, _, graph = gmvae_pair()
    x = torch.rand(BATCH, DIM)
    graph(x)
    graph(x)
    clone = copy.deepcopy(graph)
    assert clone.num_graphs == 0 and graph.num_graphs == 1
    assert not {id(p) for p in clone.parameters()} & {id(p) for p in graph.parameters()}
    clone.load_state_dict(graph.state_dict())
    clone(x).backward()
    clone(x).backward()
    assert all(parameter.grad is None for parameter in graph.parameters())
    torch.manual_seed(0)
    loss = clone(x)
    torch.manual_seed(0)
    torch.testing.assert_close(graph(x), loss)


def test_fused_adam_trains_it() -> None:
    torch.manual_seed(0)
    _, _, graph = gmvae_pair()
    x = (torch.rand(BATCH, DIM) > 0.5).float()
    optimizer = torch.optim.Adam(graph.parameters(), lr=1e-2, fused=True)
    losses = []
    for _ in range(100):
        optimizer.zero_grad()
        loss = graph(x)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


# --- what is refused -------------------------------------------------------------------------------------------------


class Odd(Pair):
    """A model that does one thing which no graph can hold."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what
        self.outside = [nn.Parameter(torch.ones(3))]
        self.bound = torch.tensor(0.5)

    @pyro_method
    def model(self, x: Tensor) -> None:
        z_loc = torch.zeros(3)
        if self.what == "branch" and x.mean() > 0.5:
            z_loc = z_loc + 1
        if self.what == "branch on a constant" and self.bound > 0.2:
            z_loc = z_loc + 1
        if self.what == "selection":
            z_loc = z_loc + x[x > 0.5].mean()
        if self.what == "equality" and torch.equal(x, x + 1):
            z_loc = z_loc + 1
        if self.what == "number":
            z_loc = z_loc + float(x.mean())
        if self.what == "outside":
            z_loc = z_loc + self.outside[0]
        if self.what == "store":
            z_loc = z_loc + pyro.param("shift", torch.zeros(3))
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(z_loc, 1.0).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=self.decoder(z), validate_args=False).to_event(1), obs=x)


REASONS = {
    "branch": r"depends on data.*test_compiled\.py.*x\.mean\(\) > 0\.5",
    "branch on a constant": r"depends on data.*self\.bound > 0\.2",
    "selection": "depends on data",
    "equality": r"depends on data.*torch\.equal",
    "number": r"depends on data",
    "outside": r"trainable tensor of shape \[3\].*not a parameter of the module",
    "store": r"pyro\.param\('shift'\)",
}


@pytest.mark.parametrize("what", REASONS)
def test_refuses_with_a_reason(what: str, no_global_parameters: None) -> None:
    model = Odd(what)
    graph = compiled(our()(model.model, model.guide), **EAGER)
    x = torch.rand(BATCH, DIM)
    graph(x)
    with pytest.raises(CaptureError, match=REASONS[what]):
        graph(x)
    assert graph.num_graphs == 0


@pytest.mark.parametrize("what", REASONS)
def test_falls_back_with_one_warning(what: str, no_global_parameters: None) -> None:
    model = Odd(what)
    eager = our()(model.model, model.guide)
    graph = compiled(eager, fallback=True, **EAGER)
    x = torch.rand(BATCH, DIM)
    graph(x)
    with pytest.warns(UserWarning, match=f"not compiled.*{REASONS[what]}") as caught:
        graph(x)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(model, eager, graph, x)


def test_falls_back_where_the_compiler_fails() -> None:
    def broken(*_: Any) -> Any:
        raise OSError("no compiler here")

    model = gmvae()
    eager = model.objective()(model.model, model.guide)
    x = torch.rand(BATCH, DIM)
    graph = compiled(eager, backend=broken)
    graph(x)
    with pytest.raises(CaptureError, match=r"does not compile.*no compiler here"):
        graph(x)
    graph = compiled(eager, fallback=True, backend=broken)
    graph(x)
    with pytest.warns(UserWarning, match="no compiler here"):
        graph(x)
    assert_same(model, eager, graph, x)


def test_what_turns_trainable_later_is_noticed() -> None:
    model = gmvae()
    weight = torch.tensor(1.0)
    graph = compiled(model.objective().weighted({"z": weight})(model.model, model.guide), **EAGER)
    x = torch.rand(BATCH, DIM)
    graph(x)
    graph(x)
    weight.requires_grad_()
    with pytest.raises(CaptureError, match="trainable tensor"):
        graph(x)


def test_mutable_arguments_are_refused() -> None:
    model = gmvae()
    graph = compiled(model.objective()(model.model, model.guide), **EAGER)
    x, labels = torch.rand(BATCH, DIM), torch.zeros(BATCH).numpy()
    graph(x, y=labels)
    with pytest.raises(CaptureError, match="ndarray"):
        graph(x, y=labels)


def test_only_modules_are_compiled() -> None:
    with pytest.raises(ValueError, match="elbo_module"):
        compiled(lambda x: x.sum())  # type: ignore[arg-type]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.compile
def test_cuda_graphs_hand_out_gradients_that_last() -> None:
    model, eager, _ = gmvae_pair()
    model.cuda()
    graph = compiled(eager, mode="reduce-overhead")
    x = torch.rand(BATCH, DIM, device="cuda")
    for _ in range(5):
        model.zero_grad()
        graph(x).backward()
        first = [parameter.grad.clone() for parameter in model.parameters()]
        kept = [parameter.grad for parameter in model.parameters()]
        graph(x)
        torch.testing.assert_close(kept, first)
