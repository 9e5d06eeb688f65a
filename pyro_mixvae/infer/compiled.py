"""An objective as one compiled graph."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from pyro.infer.elbo import ELBOModule
from pyro.poutine.runtime import am_i_wrapped
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from pyro_mixvae.infer.compiled_graph import CompiledGraph, kind_of, state_of
from pyro_mixvae.infer.elbo_module import OwningELBOModule
from pyro_mixvae.infer.recording import Call, CaptureError, record

#: A module that is called in more ways than this runs the others eagerly: every graph takes seconds to compile.
MAX_GRAPHS = 8


def compiled(
    elbo_module: nn.Module,
    fallback: bool = False,
    *,
    backend: str | Callable[..., Any] = "inductor",
    mode: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> CompiledObjective:
    """Compile an objective: loss, terms and gradients in one graph, in place of hundreds of separate steps.

    The result is used like the module it was made of: ``loss = compiled(elbo(model, guide))(x); loss.backward()``.

    A kind of call (its shapes and types, training or evaluation mode, what needs a gradient, autocast) is run eagerly
    when it first comes and compiled when it comes twice in a row; so a short last batch never costs a compilation.
    Everything that is a tensor is read at each call: parameters, buffers, arguments and the 0-d tensors that schedules
    move. **Numbers of Python are read once**, when a kind of call is compiled: let a 0-d tensor hold what changes.

    Args:
        elbo_module: what ``elbo(model, guide)`` returns, for our objectives or Pyro's; or any module that returns a
            0-d loss and may leave a dictionary of 0-d tensors in ``last_terms``.
        fallback: run what cannot be captured eagerly, with one warning, instead of raising.
        backend: as in :func:`torch.compile`; ``"eager"`` replays the graph uncompiled, to find errors.
        mode: as in :func:`torch.compile`; ``"reduce-overhead"`` replays CUDA graphs on a GPU.
        options: as in :func:`torch.compile`; ``{"fallback_random": True}`` draws the same noise as the eager objective.

    Returns:
        a module with the same parameters, and with detached terms of the last call in ``last_terms``.

    Raises:
        CaptureError: (a ``RuntimeError``) when called, for an objective whose course depends on values, or whose
            trainable tensors are not parameters of the module.

    Example:
        >>> import torch, pyro, pyro.distributions as dist
        >>> from pyro.nn import PyroModule, pyro_method
        >>> from pyro_mixvae.infer import TraceDivergence_ELBO
        >>> class Mean(PyroModule):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.loc = torch.nn.Parameter(torch.zeros(()))
        ...     @pyro_method
        ...     def model(self, x):
        ...         with pyro.plate("data", len(x)):
        ...             pyro.sample("x", dist.Normal(self.loc, 1.0), obs=x)
        ...     @pyro_method
        ...     def guide(self, x):
        ...         pass
        >>> mean = Mean()
        >>> objective = compiled(TraceDivergence_ELBO(max_plate_nesting=1)(mean.model, mean.guide), backend="eager")
        >>> for _ in range(2):
        ...     loss = objective(torch.ones(3))
        >>> loss.backward()
        >>> mean.loc.grad
        tensor(-3.)
    """
    if type(elbo_module) is ELBOModule:
        bound: Any = elbo_module
        elbo_module = OwningELBOModule(bound.model, bound.guide, bound.elbo)
    if not isinstance(elbo_module, nn.Module):
        raise ValueError(f"elbo_module: expected what elbo(model, guide) returns, got {elbo_module!r}")
    options = None if options is None else dict(options)
    return CompiledObjective(elbo_module, fallback, {"backend": backend, "mode": mode, "options": options})


class CompiledObjective(nn.Module):
    """What :func:`compiled` returns.

    Attributes:
        objective: the module that is compiled; the parameters are its own.
        last_terms: detached terms of the last call by site, each summed over the batch, in nats.
    """

    def __init__(self, objective: nn.Module, fallback: bool, compiler: Mapping[str, Any]) -> None:
        super().__init__()
        self.objective, self.fallback, self.compiler = objective, fallback, dict(compiler)
        self.last_terms: dict[str, Tensor] = {}
        self._graphs: dict[Hashable, CompiledGraph | None] = {}
        self._last_kind: Hashable = None

    @property
    def num_graphs(self) -> int:
        """How many kinds of calls have been compiled."""
        return sum(graph is not None for graph in self._graphs.values())

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        leaves, structure = pytree.tree_flatten((args, kwargs))
        state, modes = state_of(self.objective)
        tensors = [*state, *(leaf for leaf in leaves if isinstance(leaf, Tensor))]
        kind = (structure, modes, kind_of(tensors, leaves))
        try:
            graph = self._graph(kind, state, (args, kwargs))
            if graph is not None:
                loss, *terms = graph(tensors)
                self.last_terms = dict(zip(graph.terms, terms, strict=True))
                return loss
        except CaptureError as error:
            if not self.fallback:
                raise
            self._graphs[kind] = None
            warnings.warn(f"the objective is not compiled but run eagerly: {error}", stacklevel=2)
        loss = self.objective(*args, **kwargs)
        self.last_terms = dict(getattr(self.objective, "last_terms", {}))
        return loss

    def _graph(self, kind: Hashable, state: Sequence[Tensor], call: Call) -> CompiledGraph | None:
        """The graph for a kind of call, made when that comes twice in a row; None: run it eagerly."""
        again, self._last_kind = kind == self._last_kind, kind
        if am_i_wrapped():
            # handlers around the call act on the model, and no graph knows of them
            return None
        if (graph := self._graphs.get(kind)) is not None and graph.is_valid():
            return graph
        refused = kind in self._graphs and graph is None
        if not again or refused or (graph is None and len(self._graphs) >= MAX_GRAPHS):
            return None
        self._graphs[kind] = CompiledGraph(record(self.objective, state, call), self.compiler)
        return self._graphs[kind]

    def __getstate__(self) -> dict[str, Any]:
        # graphs belong to the tensors of this process; a copy makes its own
        return {**super().__getstate__(), "_graphs": {}, "_last_kind": None}
