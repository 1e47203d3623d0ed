"""Options of `atu evaluate` and `atu attack` that a benchmark brings with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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

    def parse(self, text: str) -> object:
        """What the key is set to."""
        return [part.strip() for part in text.split(",") if part.strip()] if self.is_list else text
