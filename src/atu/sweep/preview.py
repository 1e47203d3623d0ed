"""What `--dry-run` shows: the runs that a command would start, where, and what tells them apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from atu.config import dotted_values
from atu.sweep.plan import PlannedJob
from atu.text.escaping import one_line

_RESOURCES = (
    "partition",
    "qos",
    "account",
    "constraint",
    "nodes",
    "tasks_per_node",
    "gres",
    "gpus_per_node",
    "cpus_per_task",
    "mem_gb",
    "timeout_min",
    "array_parallelism",
)
"""Keys of a SLURM launcher that say what each job asks for, in the order in which they are shown."""
_NO_DIFFERENCE = ("name",)
"""Keys that have a column of their own."""


def print_plan(jobs: Sequence[PlannedJob], slurm: DictConfig | None, console: Console) -> None:
    """Print the runs of a command with their folders, states and the keys that differ between them.

    Args:
        slurm: the launcher's config, where jobs go to SLURM.
    """
    differing = differing_keys(jobs)
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("run", "state", *differing):
        table.add_column(heading, overflow="fold")
    for job in jobs:
        values = _values(job)
        cells = [job.name, _state(job), *(_shown(values.get(key, "")) for key in differing)]
        table.add_row(*(Text(one_line(cell)) for cell in cells))
    console.print(table)
    for folder in sorted({str(job.root.parent) for job in jobs if job.root is not None}):
        console.print(one_line(f"run folders: {folder}"), markup=False, highlight=False, soft_wrap=True)
    if slurm is not None:
        asked = ", ".join(f"{key}={slurm[key]}" for key in _RESOURCES if slurm.get(key) is not None)
        console.print(one_line(f"SLURM, each job: {asked}"), markup=False, highlight=False, soft_wrap=True)
    started = sum(job.end is None for job in jobs)
    console.print(
        f"{started} of {len(jobs)} runs would start. Nothing was started or written; without --dry-run they are.",
        highlight=False,
        soft_wrap=True,
    )


def differing_keys(jobs: Sequence[PlannedJob]) -> list[str]:
    """Dotted keys of which two jobs have different values, in the order of the config. A job with a fault has none."""
    rows = [_values(job) for job in jobs if job.config is not None]
    keys = dict.fromkeys(key for row in rows for key in row)
    return [key for key in keys if key not in _NO_DIFFERENCE and any(row.get(key) != rows[0].get(key) for row in rows)]


def _values(job: PlannedJob) -> Mapping[str, Any]:
    return {} if job.config is None else dotted_values(job.config)


def _state(job: PlannedJob) -> str:
    if job.end is None:
        return "would start"
    return f"{job.end.state} {job.end.message}" if job.end.state == "done" else f"wrong: {job.end.message}"


def _shown(value: object) -> str:
    return "null" if value is None else str(value)
