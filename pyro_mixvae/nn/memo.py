"""One evaluation of a network for guide and model together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Memo:
    """Remembers a network's output in the guide until the model asks for that of the same input tensor.

    The guide evaluates the prior network at its draw of w, and the model is replayed with that very tensor: evaluated
    twice, it would cost double and update batch norm's running statistics twice. The memory is by identity, and is
    forgotten when it is used, when the input or parameters have changed in place, or when gradients are switched on or
    off in between. A model without its guide remembers nothing: its graph may be gone at its next call.
    """

    def __init__(self) -> None:
        self._key: tuple[Any, ...] | None = None
        self._output: Any = None

    def remember(self, network: nn.Module, x: Tensor, evaluate: Callable[[Tensor], Any] | None = None) -> Any:
        """``network(x)``, or what ``evaluate(x)`` makes of it, kept for the next :meth:`recall`."""
        self._key, key = None, _key(network, x)
        self._output = (evaluate or network)(x)
        self._key = key
        return self._output

    def recall(self, network: nn.Module, x: Tensor, evaluate: Callable[[Tensor], Any] | None = None) -> Any:
        """The output that is remembered for this very x, once; else it is evaluated."""
        remembered, output = self._key, self._output
        self._key, self._output = None, None
        if remembered is not None and remembered[0] is x and remembered[1:] == _key(network, x)[1:]:
            return output
        return (evaluate or network)(x)

    def __deepcopy__(self, memo: dict[int, Any]) -> Memo:
        return Memo()

    def __getstate__(self) -> dict[str, Any]:
        return {"_key": None, "_output": None}


def _key(network: nn.Module, x: Tensor) -> tuple[Any, ...]:
    versions = tuple(_version(tensor) for tensor in (x, *network.parameters()))
    return x, network.training, torch.is_grad_enabled(), versions


def _version(tensor: Tensor) -> int:
    """How often the tensor has been changed in place; one of inference mode does not count that."""
    return 0 if tensor.is_inference() else tensor._version
