"""Which job SLURM was given for which run, so that a later command finds what an earlier one left in the queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from atu.config import config_hash
from atu.errors import UserError
from atu.storage.files import write_json_atomic
from atu.storage.user_files import read_json
from atu.sweep.job import JobEnd
from atu.sweep.plan import PlannedJob
from atu.sweep.queue import slurm_states
from atu.sweep.submit import Submitted

_NAME = "jobs.json"


def write_ledger(sweep_dir: Path, jobs: Sequence[PlannedJob], submitted: Mapping[int, Submitted]) -> None:
    """Add jobs to the ledger of a sweep.

    Raises:
        UserError: the disk refuses.
    """
    path = sweep_dir / _NAME
    rows = _read_rows(path) if path.exists() else []
    for job in jobs:
        assert job.root is not None
        assert job.config is not None
        own = submitted[job.number]
        rows.append(
            {
                "job": own.job_id,
                "run": str(job.root.resolve()),
                "config_hash": config_hash(job.config),
                "folder": str(own.folder),
            }
        )
    write_json_atomic(path, rows)


def _read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a ledger; one that is none raises UserError."""
    rows = read_json(path)
    wanted = ("job", "run", "config_hash", "folder")
    for row in rows if isinstance(rows, list) else [rows]:
        if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in wanted):
            raise UserError(f"{path} is not what a sweep leaves. Delete it: it tells which jobs SLURM still has.")
    return list(rows)


def queued_jobs(jobs: Sequence[PlannedJob], sweeps_dir: Path) -> tuple[dict[int, Submitted], dict[int, JobEnd]]:
    """What SLURM still has for these runs from earlier sweeps: jobs to go on watching, and runs that must wait.

    Args:
        jobs: planned, none of them submitted.
        sweeps_dir: holds the folders of all sweeps.

    Raises:
        UserError: SLURM does not answer, so that a run might be submitted a second time.
    """
    newest: dict[str, dict[str, str]] = {}
    for path in sorted(sweeps_dir.glob(f"*/{_NAME}")):  # by time, which is their folders' name
        newest |= {row["run"]: row for row in _read_rows(path)}
    earlier = {
        job.number: newest[str(job.root.resolve())]
        for job in jobs
        if job.root is not None and str(job.root.resolve()) in newest
    }
    states = slurm_states([row["job"] for row in earlier.values()])
    if states is None:
        raise UserError(
            "SLURM does not answer (squeue), and jobs of an earlier command may still run. Try again later."
        )
    watched, refused = {}, {}
    for job in jobs:
        row = earlier.get(job.number)
        if row is None or row["job"] not in states or states[row["job"]].is_final:
            continue
        assert job.config is not None
        if row["config_hash"] == config_hash(job.config):
            watched[job.number] = Submitted(job_id=row["job"], folder=Path(row["folder"]))
        else:
            message = f"SLURM still has job {row['job']} for it, with another config: scancel {row['job']} first"
            refused[job.number] = JobEnd(state="failed", message=message)
    return watched, refused
