"""devices=2 on the command line: two processes that end at once, and a command that resumes."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from signal import SIGKILL, SIGTERM

import psutil
import pytest
from torch.distributed.elastic.multiprocessing import ProcessFailure
from workplace import Workplace

from atu.entry.compose import compose_run
from atu.entry.workers import _explain
from atu.errors import UserError
from atu.launch import launch

STAGES = "task.stages=[{type: training, steps: 10}, {type: unlearning, steps: 20}]"


def workers() -> dict[str, psutil.Process]:
    """The processes that the command has started, by rank."""
    children = psutil.Process().children(recursive=True)
    return {child.environ()["RANK"]: child for child in children if "atu.worker" in child.cmdline()}


def kill_second(metrics: Path, killed: dict[str, psutil.Process]) -> None:
    """SIGKILL for the second process after a few unlearn steps; tells what there was."""
    end = time.monotonic() + 200
    while not metrics.exists() or metrics.read_bytes().count(b"train/loss") < 5:
        if time.monotonic() > end:
            return
        time.sleep(0.005)
    killed |= workers()
    killed["1"].kill()


def test_one_killed_process_ends_the_run_and_the_same_command_resumes(
    workplace: Workplace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Hydra's start changes both; they are put back after the test.
    monkeypatch.setattr(sys, "argv", ["launch_training.py"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", os.environ.get("HYDRA_FULL_ERROR", "0"))
    folder = workplace.root / "runs" / "tiny"
    settings = workplace.overrides(STAGES, "devices=2", "skip_initial_eval=true", "training.checkpoint_seconds=0")
    processes: dict[str, psutil.Process] = {}
    killer = threading.Thread(target=kill_second, args=(folder / "metrics.jsonl", processes))
    killer.start()
    with pytest.raises(SystemExit) as end:
        launch("python launch_training.py", settings)
    killer.join()
    assert end.value.code == 2
    message = (
        "Process 1 of 2 was killed (SIGKILL), which ends the run. The last checkpoint is whole; the same command "
        "resumes from there."
    )
    assert capsys.readouterr().err == f"error: {message}\n"
    status = json.loads((folder / "status.json").read_text())
    assert (status["state"], status["message"]) == ("failed", message)
    assert set(processes) == {"0", "1"}
    assert not [process for process in processes.values() if process.is_running()]

    launch("python launch_training.py", settings)
    assert "resuming in stage 2" in (folder / "log.txt").read_text()
    assert json.loads((folder / "status.json").read_text())["state"] == "done"
    assert (folder / "model" / "model.safetensors").is_file()
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["name"] == "train/loss"] == list(range(11, 31))


def ends(*codes: int) -> dict[int, ProcessFailure]:
    """What the launcher tells of the processes, by rank."""
    return {rank: ProcessFailure(rank, rank + 1, code, "") for rank, code in enumerate(codes)}


@pytest.mark.parametrize(
    ("codes", "told", "expected"),
    [
        ((-SIGTERM, -SIGKILL), None, "Process 1 of 2 was killed (SIGKILL)"),
        ((1, -SIGKILL), None, "Process 1 of 2 was killed (SIGKILL)"),
        ((-SIGTERM, 1), None, "Process 1 of 2 failed with exit code 1"),
        ((-SIGTERM, -SIGTERM), None, "Process 0 of 2 was killed (SIGTERM)"),
        ((2, -SIGTERM), "The disk is full.", "The disk is full."),
    ],
)
def test_the_process_that_ended_the_run_is_named_and_not_one_that_the_launcher_ended_after_it(
    workplace: Workplace, tmp_path: Path, codes: tuple[int, int], told: str | None, expected: str
) -> None:
    config = compose_run(workplace.overrides(STAGES, "devices=2"))
    if told is not None:
        (tmp_path / "error.txt").write_text(told)
    with pytest.raises(UserError) as error:
        _explain(config, tmp_path, ends(*codes))
    assert str(error.value).startswith(expected)
