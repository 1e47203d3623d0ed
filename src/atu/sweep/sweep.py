"""A sweep from its jobs to its table: plan, launch, watch, sum up. The sweep itself never imports torch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from atu.errors import EXIT_JOBS_FAILED
from atu.sweep.job import JobEnd
from atu.sweep.ledger import queued_jobs, write_ledger
from atu.sweep.plan import PlannedJob, plan, record_faults
from atu.sweep.preview import print_plan
from atu.sweep.queue import QueueState, slurm_states
from atu.sweep.submit import Submitted, require_slurm, submit
from atu.sweep.table import PrintScores, SweepTable, print_end
from atu.sweep.watch import States, ended_row, watch


def run_sweep(
    batches: Sequence[Sequence[Sequence[str]]],
    compose: Callable[[Sequence[str]], DictConfig],
    master: DictConfig,
    launcher: Launcher,
    print_scores: PrintScores,
    *,
    is_dry_run: bool,
) -> None:
    """Run the jobs of a sweep that are not done yet, and show what came out; a dry run only shows what it would run.

    Args:
        batches: overrides of each job; a batch begins when the one before has ended.
        compose: gives the whole config of a job.
        master: Hydra's config of the sweep.
        launcher: Hydra's.
        print_scores: shows what came out of the finished runs.
        is_dry_run: needs no SLURM.

    Raises:
        UserError: nothing can be launched: two jobs with one run folder, no SLURM, or SLURM refuses.
        SystemExit: 1 when a job failed, or in a dry run has a fault in its config.
    """
    # Submitit's launchers alone have it; in hydra-submitit-launcher 1.2 nothing else tells `slurm` from `local`.
    cluster = getattr(launcher, "_EXECUTOR", None)
    jobs = plan([overrides for batch in batches for overrides in batch], compose)
    console = Console()
    if is_dry_run:
        print_plan(jobs, master.hydra.launcher if cluster == "slurm" else None, console)
        if any(job.config is None for job in jobs):
            raise SystemExit(EXIT_JOBS_FAILED)
        return
    if cluster == "slurm":
        require_slurm(str(master.hydra.runtime.choices["hydra/launcher"]))
    record_faults(jobs)
    ends = {job.number: job.end for job in jobs if job.end is not None}
    to_run = [[job for job in batch if job.end is None] for batch in _like(batches, jobs)]
    if any(to_run):
        sweep_dir = Path(str(master.hydra.sweep.dir))
        sweep_dir.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(master, sweep_dir / "multirun.yaml")
        batches_to_run = filter(None, to_run)
        if cluster is None:
            for batch in batches_to_run:
                ends |= _launch(batch, launcher)
        else:
            with SweepTable(console) as table:
                table.show({job.number: ended_row(job, ends[job.number]) for job in jobs if job.number in ends})
                for batch in batches_to_run:
                    ends |= _submit_and_watch(batch, launcher, sweep_dir, table)
    print_end(jobs, ends, console, print_scores)
    if any(end.state == "failed" for end in ends.values()):
        raise SystemExit(EXIT_JOBS_FAILED)


def _like(batches: Sequence[Sequence[object]], jobs: Sequence[PlannedJob]) -> Iterator[list[PlannedJob]]:
    rest = iter(jobs)
    for batch in batches:
        yield [next(rest) for _ in batch]


def _launch(batch: Sequence[PlannedJob], launcher: Launcher) -> dict[int, JobEnd]:
    """Run a batch by a launcher that returns when all is over, such as Hydra's own, which runs one after another."""
    returned = launcher.launch([job.overrides for job in batch], initial_job_idx=batch[0].number)
    return {job.number: job_return.return_value for job, job_return in zip(batch, returned, strict=True)}


def _submit_and_watch(
    batch: Sequence[PlannedJob], launcher: Any, sweep_dir: Path, table: SweepTable
) -> dict[int, JobEnd]:
    """Run a batch by submitit. What SLURM still has from an earlier command is watched, and not submitted again."""
    is_slurm = launcher._EXECUTOR == "slurm"
    submitted, ends = queued_jobs(batch, sweep_dir.parent) if is_slurm else ({}, {})
    new = [job for job in batch if job.number not in submitted and job.number not in ends]
    states: States = slurm_states
    if new:
        handles = submit(launcher, [job.overrides for job in new], new[0].number)
        submitted |= {
            job.number: Submitted(job_id=handle.job_id, folder=handle.paths.folder)
            for job, handle in zip(new, handles, strict=True)
        }
        if is_slurm:
            write_ledger(sweep_dir, new, submitted)
        else:
            states = _local_states(handles)
    by_number = {job.number: job for job in batch}
    table.show({number: ended_row(by_number[number], end) for number, end in ends.items()})
    try:
        return ends | watch({n: (by_number[n], submitted[n]) for n in sorted(submitted)}, states, table.show)
    except KeyboardInterrupt:
        if is_slurm:
            arrays = sorted({job.job_id.partition("_")[0] for job in submitted.values()})
            print(f"\nSLURM continues its jobs; `scancel {' '.join(arrays)}` ends them.", file=sys.stderr)
        raise


def _local_states(handles: Sequence[Any]) -> States:
    """The states of processes that submitit started here."""

    def states(job_ids: Sequence[str]) -> Mapping[str, QueueState]:
        words = {handle.job_id: str(handle.state) for handle in handles if handle.job_id in job_ids}
        return {job_id: QueueState(word=word, is_final=word != "RUNNING") for job_id, word in words.items()}

    return states
