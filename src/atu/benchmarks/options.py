"""Options of `atu evaluate` and `atu attack` that a benchmark brings with it. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from atu.errors import UserError

if TYPE_CHECKING:
    from atu.benchmarks.base import Benchmark

Command = Literal["evaluate", "attack"]
OptionValue = str | int | bool | tuple[str, ...] | None
"""What a user gave to an option; None where it was not given."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """An option of a command that sets a key of the benchmark's config."""

    flag: str
    """Such as `--tasks`."""
    key: str
    """Such as `tasks`, a field of the benchmark's config class."""
    help: str
    takes: type[str] | type[int] | type[bool] = str
    """What it is given: a text, a whole number, or nothing, which sets the key to true. One flag takes the same
    whichever benchmark has it."""
    values: tuple[str, ...] = ()
    """What its values are called where it takes several texts one after another, such as MEMBERS and NON-MEMBERS."""
    commands: tuple[Command, ...] = ("evaluate", "attack")
    is_list: bool = False
    """Whether several texts may be given, joined by commas."""

    @property
    def parameter(self) -> str:
        """The flag as the name of a function's parameter, such as `tasks`."""
        return self.flag.lstrip("-").replace("-", "_")


def known_options(command: Command, benchmarks: Mapping[str, type[Benchmark]]) -> dict[str, Option]:
    """Flag → an option with what `--help` says of it, for every one that some benchmark has for a command."""
    having: dict[str, dict[str, list[str]]] = {}
    known: dict[str, Option] = {}
    for name, benchmark in benchmarks.items():
        for option in benchmark.options:
            if command in option.commands:
                having.setdefault(option.flag, {}).setdefault(option.help, []).append(name)
                texts = having[option.flag].items()
                help_text = " ".join(f"{', '.join(names)}: {text}" for text, names in texts)
                known[option.flag] = replace(option, help=help_text)
    return known


def option_keys(
    command: Command, name: str, given: Mapping[str, OptionValue], benchmarks: Mapping[str, type[Benchmark]]
) -> dict[str, object]:
    """What the options that a user gave set in the config of the benchmark `name`.

    Args:
        given: by `Option.parameter`; None where an option was not given.

    Raises:
        UserError: one of them is another benchmark's.
    """
    own = {option.parameter: option for option in benchmarks[name].options if command in option.commands}
    keys: dict[str, object] = {}
    for parameter, value in given.items():
        if value is None or value is False:
            continue
        if parameter not in own:
            having = [
                (other, option)
                for other, benchmark in benchmarks.items()
                for option in benchmark.options
                if option.parameter == parameter
            ]
            raise UserError(
                f"{having[0][1].flag} is for --benchmark {' or '.join(other for other, _ in having)}, not for {name}."
            )
        option = own[parameter]
        if option.is_list and isinstance(value, str):
            keys[option.key] = [part.strip() for part in value.split(",") if part.strip()]
        else:
            keys[option.key] = list(value) if isinstance(value, tuple) else value
    return keys
