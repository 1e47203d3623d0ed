"""Hydra's entry: composes the config, checks it, and only then imports torch and runs.

`python launch_training.py` and `atu train` are both this. `atu.entry.guard` says how it ends when something is wrong.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from atu.entry.guard import exit_codes, exit_with
from atu.errors import UserError
from atu.processes.environment import is_speaker, is_started

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from atu.config import RunConfig
    from atu.runs.run_folder import RunFolder
    from atu.sweep.job import JobEnd


def launch(command: str, arguments: Sequence[str]) -> None:
    """Run what the command line asks for: one run, a sweep (`-m`), or one of Hydra's questions (`--help`).

    Args:
        command: how the program was called, repeated in the hint after Ctrl-C.
        arguments: overrides and Hydra's flags, such as `["-m", "seed=0,1"]`.

    Raises:
        SystemExit: as `exit_codes` says, and 1 after a sweep with a job that failed.
    """
    hint = f"The same command resumes where this one stopped: {command} {shlex.join(arguments)}"
    is_sweep = bool({"-m", "--multirun"} & set(arguments))
    if is_sweep:
        hint = f"Jobs that a cluster already has continue there. {hint}"
    with exit_codes(hint.rstrip()):
        if is_sweep and is_started():
            raise UserError("A sweep (-m) starts its own processes: call it without a launcher, with devices=N.")
        _run_hydra(arguments)


def job(cfg: DictConfig) -> JobEnd | None:
    """One run, in this process or on a compute node; in a sweep it says how it ended, and never raises its fault.

    Raises:
        SystemExit: after any fault, when this is the only run.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    if HydraConfig.get().mode == RunMode.MULTIRUN:
        from atu.sweep.job import run_job

        return run_job(cfg, _run)
    try:
        if HydraConfig.get().sweeper.get("dry_run"):
            _show(cfg)
        else:
            _run(cfg)
    except Exception as error:
        exit_with(error)
    return None


def _run(cfg: DictConfig) -> None:
    from hydra.core.hydra_config import HydraConfig

    from atu.config import load
    from atu.entry.early_checks import check_target_is_given

    config = load(cfg)
    check_target_is_given(config, HydraConfig.get().overrides.task)
    run_checked(config)


def _show(cfg: DictConfig) -> None:
    """What `_run` would run, and whether it would be refused."""
    from hydra.core.hydra_config import HydraConfig
    from rich.console import Console

    from atu.config import load
    from atu.entry.early_checks import check_run, check_target_is_given
    from atu.sweep.plan import plan_job
    from atu.sweep.preview import print_plan

    overrides = HydraConfig.get().overrides.task
    config = load(cfg)
    check_target_is_given(config, overrides)
    check_run(config)
    print_plan([plan_job(0, tuple(overrides), cfg)], None, Console())


def run_checked(config: RunConfig) -> RunFolder:
    """One run, in as many processes as it asks for; what would end it later is refused first.

    Raises:
        UserError: anything that the user can mend.
    """
    from atu.entry.early_checks import check_run
    from atu.entry.workers import must_start, start_workers
    from atu.runs.run_folder import RunFolder

    check_run(config)
    if not must_start(config):
        return run_and_report(config)
    start_workers(config)
    return RunFolder(root=Path(config.runs_dir) / config.name)


def run_and_report(config: RunConfig) -> RunFolder:
    """One run in this process, with its page and its last words on the terminal."""
    from rich.console import Console

    from atu.report.page import write_report
    from atu.report.terminal import print_outcome
    from atu.run import run  # brings torch, which takes seconds: not before the config is right

    speaks = is_speaker()  # asked now: at the end each process stands alone
    folder = run(config, write_report=write_report)
    if speaks:
        print_outcome(folder, Console())
    return folder


def _run_hydra(arguments: Sequence[str]) -> None:
    import hydra

    from atu.entry.composition_errors import explained
    from atu.entry.overrides import complete
    from atu.storage.config_dir import config_dir

    folder = config_dir()
    completed = complete(arguments)
    if {"-h", "--help"} & set(arguments):
        from atu.entry.help_text import help_text

        print(help_text(completed))
        return
    sys.argv = [sys.argv[0], *completed]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # leaves exceptions to us; Hydra would print them over many lines
    with explained(folder, arguments):
        hydra.main(version_base="1.3", config_path=str(folder), config_name="train")(job)()
