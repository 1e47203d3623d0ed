"""SLURM as a test sees it: its commands, and waiting for what must come."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable


def slurm(*command: str) -> str:
    """Output of one of SLURM's commands."""
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


def job(job_id: str) -> dict[str, str]:
    """What `scontrol show job` says."""
    return dict(word.split("=", 1) for word in slurm("scontrol", "show", "job", job_id).split() if "=" in word)


def queued() -> list[str]:
    """Ids of the jobs that wait or run, `12_0` for a member of an array."""
    return slurm("squeue", "--noheader", "--array", "--format=%i").split()


def wait_for(what: str, is_so: Callable[[], bool], seconds: float) -> None:
    """Until something is so."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.05)
