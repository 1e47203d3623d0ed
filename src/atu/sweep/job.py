"""One job of a sweep, in the process that runs it: however it ends, its run folder and its sweep are told."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from atu.config import NOT_DEFINING, RunConfig, config_hash, load, to_mapping
from atu.entry.guard import explain
from atu.errors import UserError, reason
from atu.runs.opening import name_fault, open_run
from atu.runs.run_folder import RunFolder
from atu.storage.files import content_key, write_json_atomic
from atu.storage.user_files import read_json_object


@dataclass(frozen=True, kw_only=True)
class JobEnd:
    """How a job ended. It travels from a compute node to the sweep as plain text, so that reading it needs no torch."""

    state: Literal["done", "failed"]
    message: str = ""
    """Why it failed; or that it was done `earlier`."""


def run_job(cfg: DictConfig, run: Callable[[DictConfig], None]) -> JobEnd:
    """Run one job; its fault is told here, in its run folder, and to the sweep, whose other jobs go on."""
    path = _own_end_path()
    if path is not None:
        path.unlink(missing_ok=True)  # of the same job before it was queued again
    end = _run_job(cfg, run)
    if path is not None:
        write_json_atomic(path, asdict(end))
    return end


def _run_job(cfg: DictConfig, run: Callable[[DictConfig], None]) -> JobEnd:
    try:
        run(cfg)
    except Exception as error:
        message = explain(error)
        print(f"error: {message}", file=sys.stderr, flush=True)
        record_failure(cfg, reason(error))
        return JobEnd(state="failed", message=message)
    return JobEnd(state="done")


def end_path(folder: Path, job_id: str) -> Path:
    """Where a job that submitit runs leaves its word for the sweep."""
    return folder / f"{job_id}_end.json"


def read_end(path: Path) -> JobEnd:
    """The word that a job left.

    Raises:
        UserError: it is none.
    """
    row = read_json_object(path)
    state, message = row.get("state"), row.get("message")
    if state not in ("done", "failed") or not isinstance(message, str):
        raise UserError(f"{path} does not say how a job ended.")
    return JobEnd(state=state, message=message)


def _own_end_path() -> Path | None:
    """`end_path` of the job that this process is; None where submitit did not start it."""
    if "SUBMITIT_FOLDER" not in os.environ:
        return None
    import submitit

    job = submitit.JobEnvironment()
    return end_path(Path(job.paths.folder), job.job_id)


def root_of(config: RunConfig) -> Path:
    """Folder of a run."""
    return Path(config.runs_dir) / config.name


def rejected_root(cfg: DictConfig) -> Path | None:
    """Folder of a run whose config has a fault; None when the fault lies in what names the folder."""
    try:
        name, runs_dir = OmegaConf.select(cfg, "name"), OmegaConf.select(cfg, "runs_dir")
    except OmegaConfBaseException:
        return None
    if not isinstance(name, str) or name_fault(name) is not None or not isinstance(runs_dir, str):
        return None
    return Path(runs_dir) / name


def record_failure(cfg: DictConfig, message: str) -> None:
    """Say in the folder of a run why it failed, where the run itself did not come to say so.

    Left as it is: a folder that is another run's, that another process is writing, or whose run is done, and
    everything where the config does not even tell the folder.
    """
    try:
        config = load(cfg)
        root, mapping, key = root_of(config), to_mapping(config), config_hash(config)
    except UserError:
        found = rejected_root(cfg)
        if found is None:
            return
        root, mapping = found, cast("dict[str, Any]", OmegaConf.to_container(cfg, resolve=False))
        key = content_key(mapping)
    with suppress(UserError):
        status = RunFolder(root=root).read_status()
        if status.get("state") == "done" or (status.get("state"), status.get("message")) == ("failed", message):
            return
        with closing(open_run(root, mapping, key, may_differ=NOT_DEFINING)) as folder:
            folder.set_status("failed", str(status.get("stage", "")), message)
