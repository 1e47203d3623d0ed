"""What a launcher (torchrun, accelerate launch, or `devices=N`) tells the processes that it starts. No torch."""

from __future__ import annotations

import os


def num_started() -> int:
    """Number of processes that the launcher of this one has started for the run, 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_started() -> bool:
    """Whether this process is one of several of a run."""
    return num_started() > 1


def is_speaker() -> bool:
    """Whether this process, alone or the first of several, speaks to the user."""
    return os.environ.get("RANK", "0") == "0"
