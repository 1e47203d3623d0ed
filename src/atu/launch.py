"""Hydra's entry: composes the config, checks it, and only then imports torch and runs.

`python launch_training.py` and `atu train` are both this. A mistake of the user ends as one line on
stderr and exit code 2; with `HYDRA_FULL_ERROR=1` in the environment the traceback is shown instead.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from atu.errors import EXIT_INTERRUPTED, EXIT_USER_ERROR, UserError
from atu.launched import is_speaker, is_started

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from atu.sweep.job import JobEnd

# Read before `_run_hydra` sets it for Hydra.
_WANTS_TRACEBACK = os.environ.get("HYDRA_FULL_ERROR") == "1"


def launch(command: str, arguments: Sequence[str]) -> None:
    """Run what the command line asks for: one run, a sweep (`-m`), or one of Hydra's questions (`--help`).

    Args:
        command: how the program was called, repeated in the hint after Ctrl-C.
        arguments: overrides and Hydra's flags, such as `["-m", "seed=0,1"]`.

    Raises:
        SystemExit: 2 after a mistake of the user, 1 after a sweep with a job that failed, 130 after Ctrl-C.
    """
    hint = f"The same command goes on where this one stopped: {command} {shlex.join(arguments)}"
    is_sweep = bool({"-m", "--multirun"} & set(arguments))
    if is_sweep:
        hint = f"Jobs that a cluster already has go on there. {hint}"
    with exit_codes(hint.rstrip()):
        if is_sweep and is_started():
            raise UserError("A sweep (-m) starts its own processes: call it without a launcher, with devices=N.")
        _run_hydra(arguments)


@contextmanager
def exit_codes(hint: str) -> Iterator[None]:
    """Turn a UserError into one line on stderr and exit code 2, Ctrl-C into `hint` and exit code 130."""
    try:
        yield
    except UserError as error:
        _exit_with(error)
    except KeyboardInterrupt:
        if is_speaker():
            print(f"\ninterrupted. {hint}", file=sys.stderr)
        raise SystemExit(EXIT_INTERRUPTED) from None


def job(cfg: DictConfig) -> JobEnd | None:
    """One run, in this process or on a compute node; in a sweep it says how it ended, and never raises its fault.

    Raises:
        SystemExit: 2 after a mistake of the user, when this is the only run.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    if HydraConfig.get().mode == RunMode.MULTIRUN:
        from atu.sweep.job import run_job

        return run_job(cfg, _run)
    try:
        _run(cfg)
    except UserError as error:
        _exit_with(error)
    return None


def _exit_with(error: UserError) -> NoReturn:
    if _WANTS_TRACEBACK:
        raise error
    if is_speaker():
        print(f"error: {error}", file=sys.stderr)
    raise SystemExit(EXIT_USER_ERROR) from None


def _run(cfg: DictConfig) -> None:
    from atu.config import load
    from atu.early_checks import check_run
    from atu.several import must_start, start

    config = load(cfg)
    check_run(config)
    if must_start(config):
        start(config)
        return
    from atu.run import run  # brings torch, which takes seconds: not before the config is right

    run(config)


def _run_hydra(arguments: Sequence[str]) -> None:
    import hydra
    from hydra.errors import HydraException

    from atu.composition_errors import explain
    from atu.config_dir import config_dir
    from atu.overrides import complete

    folder = config_dir()
    arguments = complete(arguments)
    sys.argv = [sys.argv[0], *arguments]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # leaves exceptions to us; Hydra would print them over many lines
    try:
        hydra.main(version_base="1.3", config_path=str(folder), config_name="train")(job)()
    except HydraException as error:
        raise explain(error, folder, arguments) from error
