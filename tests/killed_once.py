"""Runs that do not come to their end: killed once with SIGKILL and resumed, or interrupted between two stages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from workplace import Workplace

from atu.config import RunConfig
from atu.run import run
from atu.training.stages import run_stage
from atu.training.state import TrainingState

SCRIPT = Path(__file__).parent / "end_to_end" / "killed_runs.py"


def killed_once(workplace: Workplace, *overrides: str) -> tuple[Path, Path]:
    """Folders of a run that was never killed, and of the same run killed once in its unlearn stage."""
    ours = [part for part in workplace.overrides(*overrides, "training.checkpoint_seconds=0") if part != "name=tiny"]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(SCRIPT.parents[1]), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, str(SCRIPT), "2", "1", *ours]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(json.loads(done.stdout.splitlines()[-1])["kills"]) == 1
    return workplace.root / "runs" / "whole", workplace.root / "runs" / "killed"


def interrupt_before_stage(config: RunConfig, stage: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run until the stage of this index in the schedule would begin, as if Ctrl-C came there."""

    def interrupted(state: TrainingState, *arguments: Any) -> None:
        if state.progress.stage == stage:
            raise KeyboardInterrupt
        run_stage(state, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr("atu.run.run_stage", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(config)
