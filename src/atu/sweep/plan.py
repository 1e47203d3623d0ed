"""The jobs of a sweep before anything is launched: what each is called, and which of them need not run.

Nothing is written here but by `record_faults`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, open_dict

from atu.config import NOT_DEFINING, RunConfig, load, to_mapping
from atu.errors import UserError
from atu.runs.opening import refuse_other_config
from atu.runs.run_folder import RunFolder
from atu.sweep.job import JobEnd, record_failure, rejected_root, root_of


@dataclass(frozen=True, kw_only=True)
class PlannedJob:
    """One job of a sweep."""

    number: int
    """Its place in the sweep, from 0."""
    overrides: tuple[str, ...]
    """All of its overrides, as a launcher takes them."""
    name: str
    """Name of its run; its overrides where the config does not even tell that."""
    root: Path | None
    """Folder of its run."""
    cfg: DictConfig
    """Its config as it was composed, without Hydra's part."""
    config: RunConfig | None
    """The same once read; None where it has a fault, and `end` says which."""
    end: JobEnd | None
    """How it ended before it was launched; None when it is to run."""


def plan(overrides: Sequence[Sequence[str]], compose: Callable[[Sequence[str]], DictConfig]) -> list[PlannedJob]:
    """Read the config of every job. A job whose config has a fault has failed.

    Args:
        overrides: those of each job.
        compose: gives the whole config of a job, Hydra's part included.

    Raises:
        UserError: two jobs would write the same run folder.
        HydraException: a config cannot be composed.
    """
    cfgs = [_without_hydra(compose(words)) for words in overrides]
    jobs = [plan_job(number, tuple(overrides[number]), cfg) for number, cfg in enumerate(cfgs)]
    _refuse_shared_folders(jobs)
    return jobs


def record_faults(jobs: Sequence[PlannedJob]) -> None:
    """Have each job whose config has a fault say so in its run folder."""
    for job in jobs:
        if job.config is None and job.end is not None:
            record_failure(job.cfg, job.end.message)


def _without_hydra(cfg: DictConfig) -> DictConfig:
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg


def plan_job(number: int, overrides: tuple[str, ...], cfg: DictConfig) -> PlannedJob:
    """One job from its composed config, without Hydra's part."""
    try:
        config = load(cfg)
    except UserError as error:
        root = rejected_root(cfg)
        return PlannedJob(
            number=number,
            overrides=overrides,
            name=" ".join(overrides) if root is None else root.name,
            root=root,
            cfg=cfg,
            config=None,
            end=JobEnd(state="failed", message=str(error)),
        )
    return PlannedJob(
        number=number,
        overrides=overrides,
        name=config.name,
        root=root_of(config),
        cfg=cfg,
        config=config,
        end=_end_of(config),
    )


def _end_of(config: RunConfig) -> JobEnd | None:
    """How the run of this config ended earlier, when there is nothing left to do."""
    folder = RunFolder(root=root_of(config))
    try:
        if not folder.is_done(sizes_only=True):
            return None
        refuse_other_config(folder.root, folder.read_config(), to_mapping(config), NOT_DEFINING)
    except UserError as error:
        return JobEnd(state="failed", message=str(error))
    # Attacks may be added to a finished run.
    return None if config.attacks else JobEnd(state="done", message="earlier")


def _refuse_shared_folders(jobs: Sequence[PlannedJob]) -> None:
    owners: dict[Path, PlannedJob] = {}
    for job in jobs:
        other = job if job.root is None or job.config is None else owners.setdefault(job.root, job)
        if other is not job:
            raise UserError(
                f"The jobs '{' '.join(other.overrides)}' and '{' '.join(job.overrides)}' would write the same run "
                f"'{job.name}': put what differs between them into the name, as in name='{job.name}-${{seed}}'."
            )
