"""Waiting for submitted jobs: what the queue says, what their run folders say, and when each has ended."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atu.errors import UserError
from atu.runs.opening import lock_run
from atu.runs.run_folder import RunFolder
from atu.sweep.job import JobEnd
from atu.sweep.plan import PlannedJob
from atu.sweep.queue import QueueState
from atu.sweep.submit import Submitted

GRACE_SECONDS = 15.0
"""From the end of a process until its files are surely seen through a network file system (as in submitit)."""
_TAIL_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class Row:
    """A job as the table of a sweep shows it."""

    name: str
    job_id: str
    """Empty for a job that was not launched."""
    state: str
    place: str
    """Stage and step, as far as its run folder tells them."""
    problem: str


States = Callable[[Sequence[str]], Mapping[str, QueueState] | None]


def watch(
    jobs: Mapping[int, tuple[PlannedJob, Submitted]],
    states: States,
    show: Callable[[Mapping[int, Row]], None],
    *,
    grace: float = GRACE_SECONDS,
) -> dict[int, JobEnd]:
    """Wait until all jobs have ended.

    Args:
        jobs: by number.
        states: asks the queue about job ids; None when it does not answer.
        show: is given the row of each job, by number, at each look.
        grace: seconds that a job may be out of the queue without having left a word.
    """
    ends: dict[int, JobEnd] = {}
    known: dict[str, QueueState] = {}
    silent_since: dict[int, float] = {}
    start = time.monotonic()
    while True:
        open_jobs = {number: job for number, job in jobs.items() if number not in ends}
        answer = states([submitted.job_id for _, submitted in open_jobs.values()])
        known |= answer or {}
        for number, (job, submitted) in open_jobs.items():
            end = submitted.read_end()
            state = known.get(submitted.job_id)
            if end is None and answer is not None and (submitted.job_id not in answer or (state and state.is_final)):
                since = silent_since.setdefault(number, time.monotonic())
                if time.monotonic() - since >= grace:
                    end = _ended_from_outside(job, submitted, state)
            else:
                silent_since.pop(number, None)  # such as a job that was queued again
            if end is not None:
                ends[number] = end
        show({number: _row(*jobs[number], known, ends.get(number), answer is None) for number in jobs})
        if len(ends) == len(jobs):
            return ends
        time.sleep(pause(time.monotonic() - start))


def pause(elapsed: float) -> float:
    """Seconds until the next look: often at first, and no burden to a cluster later."""
    return min(15.0, max(1.0, elapsed / 10))


def _ended_from_outside(job: PlannedJob, submitted: Submitted, state: QueueState | None) -> JobEnd:
    """The end of a job that could not tell it: killed, cancelled, or lost with its node."""
    assert job.root is not None
    folder = RunFolder(root=job.root)
    status = folder.read_status()
    if status.get("state") == "done":
        return JobEnd(state="done")
    is_known = state is not None and state.is_final
    word = f"its job {submitted.job_id} ended as {state}" if is_known else f"its job {submitted.job_id} left the queue"
    message = f"{word}; the same command resumes where it stopped (see {submitted.folder})"
    with suppress(UserError):  # a run that continues all the same, or no folder to write to
        if status.get("state") in ("running", "interrupted"):
            lock = lock_run(job.root)
            folder.set_status("interrupted", str(status.get("stage", "")), message)
            lock.release()
    return JobEnd(state="failed", message=message)


def _row(
    job: PlannedJob, submitted: Submitted, known: Mapping[str, QueueState], end: JobEnd | None, is_silent: bool
) -> Row:
    state = known.get(submitted.job_id)
    if end is not None:
        return ended_row(job, end, submitted.job_id)
    problem = "the queue does not answer" if is_silent else ""
    word = "submitted" if state is None else str(state)
    return Row(name=job.name, job_id=submitted.job_id, state=word, place=place(job), problem=problem)


def ended_row(job: PlannedJob, end: JobEnd, job_id: str = "") -> Row:
    """The row of a job that has ended, or need not run."""
    if end.state == "done":
        return Row(name=job.name, job_id=job_id, state=f"done {end.message}".strip(), place="", problem="")
    return Row(name=job.name, job_id=job_id, state="failed", place=place(job), problem=end.message)


def place(job: PlannedJob) -> str:
    """Where a run stands, as its folder tells: `02-unlearn, step 7 of 12`."""
    if job.root is None or job.config is None:
        return ""
    folder = RunFolder(root=job.root)
    try:
        stage = str(folder.read_status().get("stage", ""))
    except UserError:  # a folder that is being written, or broken: its own job will say so
        return ""
    step = _last_step(folder.metrics_path)
    total = sum(stage.steps for stage in job.config.task.schedule)
    return stage if step is None or not stage else f"{stage}, step {step} of {total}"


def _last_step(metrics: Path) -> int | None:
    """Step of the last whole row, read from the end of a file that may be long."""
    try:
        with metrics.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().splitlines(keepends=True)
    except OSError:
        return None
    for line in reversed(lines):
        with suppress(ValueError):
            row: Any = json.loads(line)
            if line.endswith(b"\n") and isinstance(row, dict) and isinstance(row.get("step"), int):
                return int(row["step"])
    return None
