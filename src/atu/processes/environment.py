"""What a launcher (torchrun, accelerate launch, or `devices=N`) tells the processes that it starts. No torch."""

from __future__ import annotations

import os

from atu.errors import UserError


def num_started() -> int:
    """Number of processes that the launcher of this one has started for the run, 1 without a launcher.

    Raises:
        UserError: the variables that a launcher sets say no numbers.
    """
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        value = os.environ.get(name, "0")
        if not value.isascii() or not value.isdecimal() or len(value) > 9:
            raise UserError(
                f"The environment variable {name} is {value!r}, which is no number of processes: unset it, or start "
                "the run by torchrun or devices=N."
            )
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_started() -> bool:
    """Whether this process is one of several of a run."""
    return num_started() > 1


def refuse_too_many(devices: int, there: int, kind: str) -> None:
    """Raise UserError for more processes than this machine has devices of a kind, such as `GPU`."""
    if devices > there:
        raise UserError(
            f"devices={devices}, but this machine has {there} {kind}{'s' if there > 1 else ''}: a process needs one "
            f"for itself. Set devices={there} or less."
        )


def is_speaker() -> bool:
    """Whether this process, alone or the first of several, speaks to the user."""
    rank = os.environ.get("RANK", "0")
    return rank == "0" or not rank.isdecimal()
