"""Commands that take the options of benchmarks, whichever benchmarks there are."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from atu.benchmarks.catalog import BENCHMARKS
from atu.benchmarks.options import Command, Option, known_options

Function = TypeVar("Function", bound=Callable[..., Any])
BENCHMARK_NAMES = "|".join(BENCHMARKS)
"""As `--help` shows what `--benchmark` takes."""


def _annotation(option: Option) -> Any:
    """The type by which typer reads an option; several values are a tuple of so many texts."""
    if not option.values:
        return option.takes | None
    return tuple[*[str] * len(option.values)] | None  # type: ignore[misc]


def with_benchmark_options(command: Command) -> Callable[[Function], Function]:
    """Gives a command of typer's, in place of its `**options`, an option for each that a benchmark has for it."""

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function, eval_str=True)
        own = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        added = [
            inspect.Parameter(
                flag.lstrip("-").replace("-", "_"),
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[
                    _annotation(option), typer.Option(flag, help=option.help, metavar=" ".join(option.values) or None)
                ],
            )
            for flag, option in known_options(command, BENCHMARKS).items()
        ]
        function.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
        function.__annotations__ = {one.name: one.annotation for one in [*own, *added]}
        return function

    return decorate
