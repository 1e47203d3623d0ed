"""Align-then-Unlearn: make a language model forget a concept and keep the rest.

    import atu
    run = atu.unlearn("smollm2-135m-instruct", "William Shakespeare")

See docs/python.md.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atu.api import Evaluation, Run, attack, evaluate, unlearn
    from atu.errors import UserError

__version__ = "0.1.0"
__all__ = ["Evaluation", "Run", "UserError", "attack", "evaluate", "unlearn"]


def __getattr__(name: str) -> Any:
    """The names of the API, imported when they are first used: the command line needs none of them."""
    import importlib

    if name == "UserError":
        return importlib.import_module("atu.errors").UserError
    if name in __all__:
        return getattr(importlib.import_module("atu.api"), name)
    raise AttributeError(f"module 'atu' has no attribute '{name}'")
