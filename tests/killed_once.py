"""A whole run, and the same run killed once with SIGKILL and resumed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from workplace import Workplace

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
