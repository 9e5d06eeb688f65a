"""A recorded objective, compiled, as one node of autograd."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pyro_mixvae.infer.recording import CaptureError, Recording

#: What ``torch.compile`` replays as CUDA graphs, whose results the next replay overwrites.
CUDA_GRAPH_MODES = ("reduce-overhead", "max-autotune")


class CompiledGraph:
    """Calls the compiled graph with tensors; ``backward()`` of the loss hands out the gradients computed with it.

    Args:
        recording: what to compile.
        compiler: keyword arguments of :func:`torch.compile`.

    Raises:
        CaptureError: at the first call, if it does not compile.
    """

    def __init__(self, recording: Recording, compiler: Mapping[str, Any]) -> None:
        self.constants, self.terms, self.moved = recording.constants, recording.terms, recording.moved
        self.still = recording.still
        options = compiler["options"] or {}
        self.replays = compiler["mode"] in CUDA_GRAPH_MODES or options.get("triton.cudagraphs", False)
        self.run = torch.compile(recording.graph, fullgraph=True, dynamic=False, **compiler)
        self.has_run = False

    def is_valid(self) -> bool:
        """Whether what was constant still needs no gradient."""
        return not any(tensor.requires_grad for tensor in self.constants)

    def __call__(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The loss and its terms for the recorded tensors in their order."""
        tensors = list(tensors)
        for position in self.still:
            # no edge of autograd leads to a parameter that took no part, as in an eager run
            tensors[position] = tensors[position].detach()
        return _Replay.apply(self, *tensors, *self.constants)

    def outputs(self, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        """The loss, its terms and the gradients."""
        device = tensors[0].device
        # the graph holds autocast's casts already
        with torch.autocast(device.type, enabled=False):
            if self.has_run:
                return self._own(self.run(*tensors), device)
            try:
                outputs = self._own(self.run(*tensors), device)
            except Exception as error:
                text = " ".join(str(error).split())
                raise CaptureError(f"it does not compile: {type(error).__name__}: {text[:200]}") from error
        self.has_run = True
        return outputs

    def _own(self, outputs: Sequence[Tensor], device: torch.device) -> Sequence[Tensor]:
        return [output.clone() for output in outputs] if self.replays and device.type == "cuda" else outputs


class _Replay(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, graph: CompiledGraph, *tensors: Tensor) -> tuple[Tensor, ...]:
        outputs = graph.outputs(tensors)
        num_results = 1 + len(graph.terms)
        ctx.save_for_backward(*outputs[num_results:])
        ctx.moved, ctx.num_inputs = graph.moved, len(tensors)
        ctx.mark_non_differentiable(*outputs[1:num_results])
        ctx.set_materialize_grads(False)
        return tuple(outputs[:num_results])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor, *_: None) -> tuple[Tensor | None, ...]:
        gradients = ctx.saved_tensors
        # a pass over all gradients that costs more than a look at one number, where looking is free
        if grad_loss.device.type != "cpu" or grad_loss.item() != 1:
            gradients = torch._foreach_mul(gradients, grad_loss)
        by_input: list[Tensor | None] = [None] * ctx.num_inputs
        for position, gradient in zip(ctx.moved, gradients, strict=True):
            by_input[position] = gradient
        return None, *by_input


def state_of(module: nn.Module) -> tuple[list[Tensor], Hashable]:
    """The parameters and buffers of a module, each once, and whether each part is in training mode.

    What :meth:`torch.nn.Module.modules`, ``parameters`` and ``buffers`` would give, in a quarter of their time.
    """
    tensors: dict[int, Tensor] = {}
    modes: dict[int, bool] = {}
    parts = [module]
    while parts:
        part = parts.pop()
        if id(part) in modes:
            continue
        modes[id(part)] = part.training
        for tensor in (*part._parameters.values(), *part._buffers.values()):
            if tensor is not None:
                tensors[id(tensor)] = tensor
        parts += [child for child in part._modules.values() if child is not None]
    return list(tensors.values()), tuple(modes.items())


def kind_of(tensors: Sequence[Tensor], leaves: Sequence[Any]) -> Hashable:
    """What a graph is made for: all but the values of the tensors, and the values of all else."""
    grad = torch.is_grad_enabled()
    layouts = tuple((t.shape, t.stride(), t.dtype, t.device, grad and t.requires_grad) for t in tensors)
    device_type = tensors[0].device.type if tensors else "cpu"
    autocast = torch.is_autocast_enabled(device_type) and torch.get_autocast_dtype(device_type)
    values = tuple(
        (type(leaf), leaf if isinstance(leaf, Hashable) else None) for leaf in leaves if not isinstance(leaf, Tensor)
    )
    return layouts, values, autocast, torch.get_default_dtype()
