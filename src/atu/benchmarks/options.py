"""Options of `atu evaluate` and `atu attack` that a benchmark brings with it. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from atu.errors import UserError

if TYPE_CHECKING:
    from atu.benchmarks.base import Benchmark

Command = Literal["evaluate", "attack"]


@dataclass(frozen=True, kw_only=True)
class Option:
    """An option of a command that sets a key of the benchmark's config."""

    flag: str
    """Such as `--tasks`."""
    key: str
    """Such as `tasks`, a field of the benchmark's config class that takes a text or several."""
    help: str
    commands: tuple[Command, ...] = ("evaluate", "attack")
    is_list: bool = False
    """Whether several values may be given, joined by commas."""

    @property
    def parameter(self) -> str:
        """The flag as the name of a function's parameter, such as `tasks`."""
        return self.flag.lstrip("-").replace("-", "_")


def option_helps(command: Command, benchmarks: Mapping[str, type[Benchmark]]) -> dict[str, str]:
    """Flag → what `--help` says of it, for every option that some benchmark has for a command."""
    helps: dict[str, str] = {}
    for name, benchmark in benchmarks.items():
        for option in benchmark.options:
            if command in option.commands:
                helps[option.flag] = " ".join(filter(None, [helps.get(option.flag), f"{name}: {option.help}"]))
    return helps


def option_keys(
    command: Command, name: str, given: Mapping[str, str | None], benchmarks: Mapping[str, type[Benchmark]]
) -> dict[str, object]:
    """What the options that a user gave set in the config of the benchmark `name`.

    Args:
        given: by `Option.parameter`; None where an option was not given.

    Raises:
        UserError: one of them is another benchmark's.
    """
    own = {option.parameter: option for option in benchmarks[name].options if command in option.commands}
    keys: dict[str, object] = {}
    for parameter, text in given.items():
        if text is None:
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
        keys[option.key] = [part.strip() for part in text.split(",") if part.strip()] if option.is_list else text
    return keys
