"""One run of an objective, recorded as a graph of its loss, its terms and its gradients together."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

import pyro
import torch
from pyro.infer.util import Dice
from pyro.poutine.messenger import Messenger
from pyro.util import warn_if_nan
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from pyro_mixvae.infer.param_statements import without_param_statements

#: What a recording calls: ``objective(*args, **kwargs)`` returns the loss and may leave ``last_terms``.
Call = tuple[tuple[Any, ...], dict[str, Any]]

_one_at_a_time = threading.RLock()


class CaptureError(RuntimeError):
    """An objective that cannot be one graph; the message says why and where."""


@dataclass(frozen=True)
class Recording:
    """A graph from tensors to the loss, its terms and its gradients.

    Attributes:
        graph: takes the recorded tensors and then ``constants``; returns the loss, each term and each gradient.
        constants: tensors that the objective reads without having been given them, such as a schedule's weight.
        terms: names of the loss's terms.
        moved: positions of the recorded tensors that have a gradient.
        still: positions of those that need one but took no part in the loss.
    """

    graph: GraphModule
    constants: Sequence[Tensor]
    terms: Sequence[str]
    moved: Sequence[int]
    still: Sequence[int]


def record(objective: nn.Module, state: Sequence[Tensor], call: Call) -> Recording:
    """Run an objective once on tensors without content and record what it does.

    Nothing is computed: buffers, random streams, Pyro's parameter store and its settings stay as they are.

    Args:
        objective: returns a 0-d loss.
        state: its parameters and buffers, in any order.
        call: its arguments; gradients are recorded in those tensors that require one.

    Raises:
        CaptureError: for an objective whose course depends on values, or that trains what it does not own.
    """
    from torch.fx.experimental.proxy_tensor import make_fx  # half a second that only this needs

    names_by_id = {id(tensor): name for name, tensor in (*objective.named_parameters(), *objective.named_buffers())}
    names = [names_by_id[id(tensor)] for tensor in state]
    leaves, structure = pytree.tree_flatten(call)
    for leaf in leaves:
        if not isinstance(leaf, Hashable):
            raise CaptureError(f"an argument is a {type(leaf).__name__}, which may change unseen; pass a tensor")
    slots = [position for position, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
    inputs = [*state, *(leaves[slot] for slot in slots)]
    wanted = [torch.is_grad_enabled() and tensor.requires_grad for tensor in inputs]
    terms: list[str] = []
    moved: list[int] = []

    def run(*tensors: Tensor) -> list[Tensor]:
        tensors = tuple(t.detach().requires_grad_() if w else t for t, w in zip(tensors, wanted, strict=True))
        filled = list(leaves)
        for slot, tensor in zip(slots, tensors[len(names) :], strict=True):
            filled[slot] = tensor
        args, kwargs = pytree.tree_unflatten(filled, structure)
        with _OwnParametersOnly(tensors), _NumbersStayTensors():
            owned = dict(zip(names, tensors, strict=False))
            loss = torch.func.functional_call(objective, owned, args, kwargs)
        last_terms = dict(getattr(objective, "last_terms", {}))
        terms.extend(last_terms)
        gradients = _gradients(loss, tensors, wanted)
        moved.extend(position for position, gradient in enumerate(gradients) if gradient is not None)
        found = [gradient for gradient in gradients if gradient is not None]
        return [loss.detach(), *(term.detach() for term in last_terms.values()), *found]

    with _one_at_a_time, _undisturbed(objective):
        try:
            graph = make_fx(run, tracing_mode="fake", _allow_non_fake_inputs=True)(*inputs)
        except CaptureError:
            raise
        except Exception as error:
            raise CaptureError(_reason(error)) from error
    for node in graph.graph.nodes:
        _check_shape(node)
    still = [position for position, w in enumerate(wanted) if w and position not in moved]
    return Recording(graph, _lift_constants(graph), terms, moved, still)


@contextmanager
def _undisturbed(objective: nn.Module) -> Iterator[None]:
    """Leave no trace of a recording in Pyro, nor in what the objective says of its last call."""
    last_terms = getattr(objective, "last_terms", None)
    with ExitStack() as stack:
        stack.enter_context(pyro.validation_enabled(False))
        stack.enter_context(pyro.get_param_store().scope())
        stack.enter_context(without_param_statements())
        try:
            yield
        finally:
            if last_terms is not None:
                objective.last_terms = last_terms


def _gradients(loss: Tensor, tensors: Sequence[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
    """The loss's gradients outside autocast, as ``backward`` takes them."""
    leaves = [tensor for tensor, w in zip(tensors, wanted, strict=True) if w]
    found: Iterator[Tensor | None] = iter([None] * len(leaves))
    if leaves and loss.requires_grad:
        with torch.autocast(loss.device.type, enabled=False):
            found = iter(torch.autograd.grad(loss, leaves, allow_unused=True))
    return [next(found) if w else None for w in wanted]


# --- what a recording does otherwise than a run ----------------------------------------------------------------------


class _OwnParametersOnly(Messenger):
    """Refuse ``pyro.param`` statements for parameters that are not the objective's own."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        super().__init__()
        self.own = {id(tensor) for tensor in tensors}

    def _pyro_param(self, message: dict[str, Any]) -> None:
        name, *init = message["args"]
        value = init[0] if init else pyro.get_param_store()._params.get(name)
        if id(value) not in self.own:
            raise CaptureError(
                f"pyro.param('{name}') lives in Pyro's parameter store, outside the module; make it an nn.Parameter or "
                "a PyroParam of a PyroModule"
            )


class _NumbersStayTensors(TorchFunctionMode):
    """Follow what Pyro does with numbers that it takes out of tensors.

    ``item()`` gives a 0-d tensor without gradient, so that what is computed with the number stays in the graph. Two
    looks at the numbers themselves are left out: for a NaN to warn of, and for probabilities that are zero, which Dice
    then leaves out of a sum of products.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        asking = _asking()
        warns, sums = asking is warn_if_nan.__code__, asking is Dice.compute_expectation.__code__
        if func is Tensor.item:
            return args[0].detach()
        if func is Tensor.__bool__ and (warns or sums):
            return False
        if func is Tensor.register_hook and warns:
            return None
        if func is Tensor.masked_select and sums:
            tensor, mask = args
            return torch.where(mask, tensor, tensor.new_zeros(()))
        return func(*args, **(kwargs or {}))


def _asking() -> CodeType:
    """The code that called the function which a mode is shown, past torch's own Python layer."""
    frame = sys._getframe(2)
    while frame.f_globals["__name__"] in ("torch.overrides", "torch._tensor") and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code


# --- what a recording must not hold ----------------------------------------------------------------------------------


def _lift_constants(graph: GraphModule) -> list[Tensor]:
    """Make tensors that the objective reads by itself inputs of the graph, behind the others: they may change.

    Raises:
        CaptureError: if one is trainable: its gradient would be lost.
    """
    constants: dict[int, tuple[Tensor, Node]] = {}
    last_input = [node for node in graph.graph.nodes if node.op == "placeholder"][-1]
    for node in list(graph.graph.nodes):
        # what is copied at once was made from Python's numbers
        if node.op != "get_attr" or all(user.target is torch.ops.aten.lift_fresh_copy.default for user in node.users):
            continue
        tensor = getattr(graph, node.target)
        if not isinstance(tensor, Tensor):
            continue
        if tensor.requires_grad:
            raise CaptureError(
                f"a trainable tensor of shape {list(tensor.shape)} is not a parameter of the module, so it would get "
                "no gradient; register it, or detach it"
            )
        if id(tensor) not in constants:
            with graph.graph.inserting_after(last_input):
                last_input = graph.graph.placeholder(f"constant_{len(constants)}")
            constants[id(tensor)] = (tensor, last_input)
        node.replace_all_uses_with(constants[id(tensor)][1])
        graph.graph.erase_node(node)
    graph.graph.lint()
    graph.recompile()
    return [tensor for tensor, _ in constants.values()]


def _check_shape(node: Node) -> None:
    """Refuse a node whose shape, or whose very value, depends on data."""
    value = node.meta.get("val")
    sizes = value.shape if isinstance(value, Tensor) else [value]
    if any(isinstance(size, torch.SymInt | torch.SymFloat | torch.SymBool) for size in sizes):
        raise CaptureError(f"the result of {node.target} has a shape that depends on data")


def _reason(error: Exception) -> str:
    """What went wrong, in a line, and the last line of code outside torch and Pyro that led there."""
    libraries = tuple(str(Path(package.__file__ or "").parent) for package in (torch, pyro))
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((*libraries, __file__, "<"))
    ]
    where = f" at {frames[-1].filename}:{frames[-1].lineno} ({frames[-1].line})" if frames else ""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"its course depends on data or leaves torch: {type(error).__name__}: {text}{where}"
