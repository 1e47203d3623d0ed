"""A run that the system ends says so; one that was killed without a word is not taken for one that is running."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from safetensors.torch import load_file
from workplace import Workplace

from atu.report.collect import read_local
from atu.report.page import write_report
from atu.runs.opening import open_run
from atu.runs.run_folder import RunFolder
from atu.storage.files import write_json_atomic

from .conftest import COMMAND, Command

STAGES = ("task.stages=[{type: training, steps: 3}, {type: unlearning, steps: 20}]", "skip_initial_eval=true")


@contextmanager
def signalled(number: int, metrics: Path) -> Iterator[None]:
    """This process gets a signal once it unlearns."""

    def send() -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if metrics.exists() and '"train/loss"' in metrics.read_text():
                os.kill(os.getpid(), number)
                return
            time.sleep(0.002)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        thread.join()


# A signal may come between the opening of a file and the block that closes it; it is closed when it is collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_run_that_is_ended_says_so_and_goes_on(command: Command, workplace: Workplace, name: str) -> None:
    run = RunFolder(root=workplace.root / "runs" / "tiny")
    number = signal.Signals[name]
    inherited = signal.signal(number, signal.SIG_DFL)  # nohup, for one, starts its children with SIGHUP ignored
    try:
        with signalled(number, run.metrics_path):
            outcome = command(*STAGES)
    finally:
        signal.signal(number, inherited)
    assert outcome.code == 128 + number
    assert outcome.err.startswith(f"\nended by {name}. The same command resumes where this one stopped: {COMMAND} ")
    assert outcome.err.count("\n") == 2
    status = run.read_status()
    assert (status["state"], status["stage"]) == ("interrupted", "02-unlearn")
    assert status["message"] == f"ended by {name}; the same command resumes from here"
    assert signal.getsignal(number) is signal.SIG_DFL
    if name == "SIGTERM":
        assert command(*STAGES).code == 0
        assert command(*STAGES, "name=whole").code == 0
        tiny, whole = (load_file(workplace.root / "runs" / n / "model/model.safetensors") for n in ("tiny", "whole"))
        assert all((tiny[key] == whole[key]).all() for key in whole)


def test_a_signal_that_is_ignored_stays_ignored(command: Command, workplace: Workplace) -> None:
    run = RunFolder(root=workplace.root / "runs" / "tiny")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup starts its command
    try:
        with signalled(signal.SIGHUP, run.metrics_path):
            assert command(*STAGES).code == 0
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    assert run.read_status()["state"] == "done"


def running(root: Path, pid: int, host: str) -> RunFolder:
    """A run whose process says that it is at work."""
    config = {"unlearning_target": "x", "task": {"name": "y"}, "pre_trained_llm": {"name": "z"}, "seed": 0}
    folder = open_run(root, config, "abc")
    write_json_atomic(
        folder.status_path,
        {"state": "running", "stage": "02-unlearn", "message": "training", "updated": "", "pid": pid, "host": host},
    )
    return folder


def dead_process() -> int:
    """The number of a process that has ended."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return child


def test_a_run_whose_process_is_gone_is_shown_as_interrupted(tmp_path: Path) -> None:
    dead = dead_process()
    running(tmp_path / "killed", dead, socket.gethostname()).close()
    # Its number was given again, but nobody holds the run.
    running(tmp_path / "killed too", os.getpid(), socket.gethostname()).close()
    running(tmp_path / "elsewhere", dead, "another-machine").close()  # nobody here can tell
    at_work = running(tmp_path / "at work", os.getpid(), socket.gethostname())
    states = {run.name: run.state for run in read_local(tmp_path).runs}
    assert states == {
        "killed": "interrupted", "killed too": "interrupted", "elsewhere": "running", "at work": "running"
    }  # fmt: skip
    at_work.close()
    page = write_report(RunFolder(root=tmp_path / "killed")).read_text(encoding="utf-8")
    assert f"its process ({dead}) ended without a word; the same command resumes from here" in page
