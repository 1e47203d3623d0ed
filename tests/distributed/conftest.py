"""What runs of one and of two processes left, made once for all tests of this folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from workplace import write_files


@dataclass(frozen=True)
class Outcomes:
    """Folders, and how each process ended."""

    root: Path
    codes: Mapping[str, list[int]]
    """Exit codes by rank; minus the signal of a killed one."""
    seconds: Mapping[str, float]
    status: Mapping[str, Any]
    """status.json after one of two processes was killed."""

    def run(self, name: str) -> Path:
        """Folder of a run."""
        return self.root / "runs" / name

    def trained(self, how: str, objective: str) -> Path:
        """Folder of a training: `one`, `two` processes, or two among which the model is `sharded`."""
        return self.root / "out" / how / objective

    def told(self, name: str) -> str:
        """What a process said."""
        return (self.root / "out" / f"{name}.txt").read_text()


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path, tiny_encoder: Path) -> Outcomes:
    """The scenarios of scenarios.py, run once."""
    root = tmp_path_factory.mktemp("distributed")
    write_files(root)
    (root / "out").mkdir()
    script = Path(__file__).with_name("scenarios.py")
    command = [sys.executable, str(script), str(root), str(tiny_folder), str(tiny_encoder), str(root / "out")]
    places = [str(script.parents[1]), os.environ.get("PYTHONPATH", "")]  # where the helpers of tests lie
    environment = {**os.environ, "ATU_CACHE": str(root / "cache"), "PYTHONPATH": os.pathsep.join(filter(None, places))}
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, env=environment, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    outcome = json.loads((root / "out" / "outcome.json").read_text())
    return Outcomes(root, outcome["codes"], outcome["seconds"], outcome["status"])
