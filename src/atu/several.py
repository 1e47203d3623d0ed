"""One run in several processes of this machine: started here, watched here, ended together."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NoReturn

from atu.config import RunConfig, to_mapping
from atu.errors import EXIT_INTERRUPTED, EXIT_USER_ERROR, UserError
from atu.guard import explain
from atu.launched import is_speaker, is_started
from atu.results.run_folder import RunFolder
from atu.typed import from_mapping

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing import ProcessFailure

_CONFIG, _ERROR = "config.json", "error.txt"
_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def must_start(config: RunConfig) -> bool:
    """Whether the run asks for processes that nobody has started yet."""
    return config.devices != "auto" and config.devices > 1 and not is_started()


def start(config: RunConfig) -> None:
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
        (folder / _CONFIG).write_text(json.dumps(to_mapping(config)), encoding="utf-8")
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
            elastic_launch(settings, sys.executable)("-m", "atu.several", name)
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
    if not killed and (folder / _ERROR).exists():
        raise UserError((folder / _ERROR).read_text(encoding="utf-8"))
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


def _work() -> None:
    """One of the processes: `python -m atu.several FOLDER`."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the run says that it was ended
    folder = Path(sys.argv[1])
    config = from_mapping(RunConfig, json.loads((folder / _CONFIG).read_text(encoding="utf-8")), "")
    # Several processes with a thread for each core are slower than one. Before torch is there, which reads it.
    cores = (os.cpu_count() or 1) // int(os.environ["LOCAL_WORLD_SIZE"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores)))
    from atu.run import run

    try:
        run(config)
    except Exception as error:
        if is_speaker():
            (folder / _ERROR).write_text(explain(error), encoding="utf-8")
        raise SystemExit(EXIT_USER_ERROR) from None
    except KeyboardInterrupt:
        raise SystemExit(EXIT_INTERRUPTED) from None


if __name__ == "__main__":
    _work()
