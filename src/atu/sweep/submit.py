"""Handing jobs over to submitit: what its Hydra launcher does, without waiting for them."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atu.errors import UserError
from atu.sweep.job import JobEnd, end_path, read_end

if TYPE_CHECKING:
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher

_LOG_BYTES = 4096
SLURM_COMMANDS = ("sbatch", "srun", "squeue", "scontrol")


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """A job that SLURM or submitit's own controller has."""

    job_id: str
    folder: Path
    """submitit's, with all that the job prints and, at its end, `<job>_end.json`, its word to the sweep."""

    def read_end(self) -> JobEnd | None:
        """How the job ended; None while it has not left a word, which it may never do.

        What submitit itself leaves is a pickle, which runs the code of whoever wrote it: it is never opened.
        """
        with suppress(OSError):
            # Network file systems then look again (as submitit does).
            self.folder.chmod(self.folder.stat().st_mode)
        end = end_path(self.folder, self.job_id)
        if end.is_file():
            try:
                return read_end(end)
            except UserError as error:
                return JobEnd(state="failed", message=str(error))
        if not (self.folder / f"{self.job_id}_0_result.pkl").exists():
            return None
        # It ended before the run began, or as it was told to end: the last line of its log says what it was.
        return JobEnd(state="failed", message=f"{self._last_line()} (see {self.folder})")

    def _last_line(self) -> str:
        try:
            log = (self.folder / f"{self.job_id}_0_log.err").read_bytes()[-_LOG_BYTES:]
        except OSError:
            log = b""
        lines = [line.strip() for line in log.decode("utf-8", "replace").splitlines() if line.strip()]
        return lines[-1] if lines else "it ended without a word"


def require_slurm(launcher: str) -> None:
    """Refuse where there is no SLURM.

    Raises:
        UserError: a command of SLURM is missing; says what to do.
    """
    missing = [command for command in SLURM_COMMANDS if shutil.which(command) is None]
    if missing:
        raise UserError(
            f"hydra/launcher={launcher} needs SLURM, but there is no {missing[0]} here. Start it on a login node of "
            "the cluster (elsewhere: install slurm-client and the cluster's slurm.conf), or run the jobs on this "
            "machine with hydra/launcher=slurm-local."
        )


def submit(launcher: BaseSubmititLauncher, jobs: Sequence[Sequence[str]], first_number: int) -> list[Any]:
    """Submit jobs, more than one as an array, and return submitit's handles.

    Args:
        launcher: the one of Hydra, which runs in the job as its plugin wrote it, and is asked by submitit for a
            checkpoint when the time is up.
        jobs: overrides of each.
        first_number: number of the first job inside its sweep.

    Raises:
        UserError: SLURM refuses the jobs.
    """
    import submitit
    from hydra.core.singleton import Singleton
    from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
    from omegaconf import OmegaConf
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    cluster = launcher._EXECUTOR  # as in sweep.py
    shared = set(OmegaConf.structured(BaseQueueConf).keys())
    settings = dict(launcher.params)
    folder = settings.pop("submitit_folder")
    start = {f"{cluster}_max_num_timeout": settings.pop("max_num_timeout")} if "max_num_timeout" in settings else {}
    executor = submitit.AutoExecutor(folder=folder, cluster=cluster, **start)
    executor.update_parameters(**{k if k in shared else f"{cluster}_{k}": v for k, v in settings.items()})
    numbers = range(first_number, first_number + len(jobs))
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            return executor.map_array(
                launcher,
                [list(overrides) for overrides in jobs],
                ["hydra.sweep.dir"] * len(jobs),
                list(numbers),
                [f"job_id_for_{number}" for number in numbers],
                [Singleton.get_state()] * len(jobs),
            )
    except (FailedJobError, FailedSubmissionError) as error:
        raise UserError(f"SLURM did not take the jobs: {' '.join(str(error).split())}") from error
