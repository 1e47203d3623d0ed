"""torch and the types of its tensors' shapes, imported when they are first used (see `methods/terms`).

Annotations that name them are not evaluated in a run; the tests, which check shapes at every call, evaluate them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any


class _Lazy:
    """A module, or a name of it, that is imported when something of it is asked for."""

    def __init__(self, module: str, name: str | None = None) -> None:
        self._module = module
        self._name = name

    def _found(self) -> Any:
        module = importlib.import_module(self._module)
        return module if self._name is None else getattr(module, self._name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._found(), name)

    def __getitem__(self, item: object) -> Any:
        return self._found()[item]


if TYPE_CHECKING:
    import torch as torch
    from jaxtyping import Bool as Bool
    from jaxtyping import Float as Float
    from jaxtyping import Int as Int
    from torch.nn import functional as functional

    from atu.benchmarks import writing as writing
else:
    writing = _Lazy("atu.benchmarks.writing")
    torch, functional = _Lazy("torch"), _Lazy("torch.nn.functional")
    Bool, Float, Int = (_Lazy("jaxtyping", name) for name in ("Bool", "Float", "Int"))
