"""The real command, in this process: what it prints, how it ends, and what it leaves on disk."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from workplace import Workplace

from atu.launch import launch

COMMAND = "python launch_training.py"
SHORT = ("task.stages=[{type: training, steps: 3}, {type: unlearning, steps: 3}]", "skip_initial_eval=true")
"""For what goes through to the end; later overrides win."""
WILD = (*SHORT, "task.training_module.unlearning_lr=1e30")
"""Fails at its first unlearn steps, and leaves the checkpoint of the align stage."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    err: str
    runs: Path

    def assert_refused(self, message: str) -> None:
        """Exit code 2, `message` as the one line on stderr, and nothing half-written."""
        assert self.err == f"error: {message}\n"
        assert self.code == 2
        assert not [path for path in self.runs.parent.rglob("*") if "partial" in path.name]

    def assert_nothing_written(self) -> None:
        """Not even the folder of the run."""
        assert not self.runs.exists()

    def assert_failed(self) -> None:
        """The run's folder says why it ended, for those who did not see the terminal, and holds no model."""
        assert f"error: {self.status['message']}\n" == self.err
        assert self.status["state"] == "failed"
        assert (self.runs / "tiny" / "report.html").is_file()
        assert not (self.runs / "tiny" / "model").exists()

    @property
    def status(self) -> dict[str, Any]:
        """What status.json of the run says."""
        status: dict[str, Any] = json.loads((self.runs / "tiny" / "status.json").read_text())
        return status


Command = Callable[..., Outcome]


@pytest.fixture
def command(workplace: Workplace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs the tiny run of the workplace with further overrides, as `python launch_training.py` would."""
    monkeypatch.chdir(workplace.root)
    # Hydra's start changes both; they are put back after the test.
    monkeypatch.setattr(sys, "argv", ["launch_training.py"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", os.environ.get("HYDRA_FULL_ERROR", "0"))

    def call(*more: str) -> Outcome:
        code = 0
        try:
            launch(COMMAND, workplace.overrides(*more))
        except SystemExit as end:
            code = int(end.code or 0)
        return Outcome(code, capsys.readouterr().err, workplace.root / "runs")

    return call
