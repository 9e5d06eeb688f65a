"""Models that Pyro's global parameter store keeps apart."""

from __future__ import annotations

import copy
import itertools
from typing import Any, Self

from pyro.nn import PyroModule

_counter = itertools.count()


class OwnName(PyroModule):
    """A module with a Pyro name that no other of this process has, nor any copy: Pyro's global store goes by names.

    ``copy.deepcopy`` and pickle make another module, with a name of its own. ``copy.copy`` makes a second view of the
    same parts, under their name.
    """

    def __init__(self) -> None:
        super().__init__(name=self._unique_name())

    @classmethod
    def _unique_name(cls) -> str:
        return f"{cls.__name__}_{next(_counter)}"

    def _rename(self) -> None:
        for part in self.modules():
            if isinstance(part, PyroModule):
                # Pyro renames only what has not run; what this one has run, it ran as another
                part._pyro_context.used = False
        self._pyro_set_supermodule(self._unique_name(), self._pyro_context)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        clone = type(self).__new__(type(self))
        memo[id(self)] = clone
        clone.__dict__.update({key: copy.deepcopy(value, memo) for key, value in self.__dict__.items()})
        clone._rename()
        return clone

    def __copy__(self) -> Self:
        clone = type(self).__new__(type(self))
        clone.__dict__.update(self.__dict__)
        return clone

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._rename()
