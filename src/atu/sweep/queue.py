"""What SLURM says about jobs, asked with `squeue`, which needs no accounting."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_FINAL = {
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "REVOKED",
    "TIMEOUT",
}
"""States after which a job does not run again (the section JOB STATE CODES of SLURM's manual)."""
_TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class QueueState:
    """Where a job stands by the word of what runs it."""

    word: str
    """SLURM's own, such as `PENDING`."""
    detail: str = ""
    """Why it waits, such as `Resources`."""
    is_final: bool = False

    def __str__(self) -> str:
        word = self.word.lower().replace("_", " ")
        return f"{word} ({self.detail})" if self.detail else word


def slurm_states(job_ids: Sequence[str]) -> Mapping[str, QueueState] | None:
    """The state of each job that SLURM knows; it forgets a job some minutes after its end.

    Args:
        job_ids: such as `12` or, of an array, `12_0`.

    Returns:
        None when SLURM does not answer.
    """
    arrays = sorted({job_id.partition("_")[0] for job_id in job_ids})
    if not arrays:
        return {}
    command = ["squeue", "--noheader", "--array", "--states=all", f"--jobs={','.join(arrays)}", "--format=%i|%T|%r"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return {} if "Invalid job id" in done.stderr else None
    return parse_squeue(done.stdout)


def parse_squeue(text: str) -> dict[str, QueueState]:
    """Lines `id|state|reason` as states by id."""
    states = {}
    for line in text.splitlines():
        job_id, _, rest = line.strip().partition("|")
        word, _, detail = rest.partition("|")
        # A running job's reason is that of its waiting; a failed one's adds nothing to its state.
        shown = detail if word == "PENDING" and detail != "None" else ""
        states[job_id] = QueueState(word=word, detail=shown, is_final=word in _FINAL)
    return states
