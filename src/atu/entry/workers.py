"""One run in several processes of this machine: started here, watched here, ended together."""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NoReturn

from atu.config import RunConfig, to_mapping
from atu.errors import UserError
from atu.processes.environment import is_started
from atu.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing import ProcessFailure

CONFIG_FILE, ERROR_FILE = "config.json", "error.txt"
"""In the folder of a run's processes: what they read, and what the first of them says when it fails."""
_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def must_start(config: RunConfig) -> bool:
    """Whether the run asks for processes that nobody has started yet."""
    return config.devices != "auto" and config.devices > 1 and not is_started()


def start_workers(config: RunConfig) -> None:
    """Run `config` in `config.devices` processes, by torch's own launcher; the end of one is the end of all.

    Raises:
        UserError: there are too few devices, or a process failed or was killed; the last checkpoint is whole.
        KeyboardInterrupt: the user or the system ended it.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    from atu.training.device import check_devices

    assert config.devices != "auto"
    check_devices(config.device, config.devices)
    with TemporaryDirectory(prefix="atu-") as name:
        folder = Path(name)
        (folder / CONFIG_FILE).write_text(json.dumps(to_mapping(config)), encoding="utf-8")
        settings = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=config.devices,
            run_id=folder.name,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",  # any free port
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=name),
        )
        for logger in list(logging.root.manager.loggerDict):  # they tell in many lines what is told here in one
            if logger.startswith("torch.distributed.elastic"):
                logging.getLogger(logger).setLevel(logging.CRITICAL)
        handlers = {number: signal.getsignal(number) for number in _HANDLED}
        try:
            elastic_launch(settings, sys.executable)("-m", "atu.worker", name)
        except SignalException as error:
            raise KeyboardInterrupt from error
        except ChildFailedError as error:
            _explain(config, folder, error.failures)
        finally:  # torch leaves its own, which would be in the way of a sweep's next job
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _explain(config: RunConfig, folder: Path, failures: Mapping[int, ProcessFailure]) -> NoReturn:
    """Raise what ended the run."""
    # The launcher ends the others by SIGTERM, which kills one that is on its way out and answers no signal any more.
    own = {number: failure for number, failure in failures.items() if failure.exitcode != -signal.SIGTERM} or failures
    killed = [number for number, failure in own.items() if failure.exitcode < 0]
    if not killed and (folder / ERROR_FILE).exists():
        raise UserError((folder / ERROR_FILE).read_text(encoding="utf-8"))
    first = min(killed or own)
    how = f"failed with exit code {failures[first].exitcode}"
    if killed:
        how = f"was killed ({signal.Signals(-failures[first].exitcode).name})"
    message = (
        f"Process {first} of {config.devices} {how}, which ends the run. The last checkpoint is whole; the same "
        "command resumes from there."
    )
    run = RunFolder(root=Path(config.runs_dir) / config.name)
    if run.root.exists():
        run.set_status("failed", str(run.read_status().get("stage", "")), message)
    raise UserError(message)
