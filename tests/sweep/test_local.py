"""A sweep on one machine, as a user types it: processes of their own, no torch in the command, done is done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from workplace import Workplace

ROOT = Path(__file__).resolve().parents[2]


def sweep(workplace: Workplace, *arguments: str) -> tuple[int, str, list[str], set[str]]:
    """Exit code, stdout, stderr's lines for people, and the modules that the command imported."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(ROOT / "launch_training.py"), "-m", *arguments],
        cwd=workplace.root,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    lines = done.stderr.splitlines()
    imported = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    return done.returncode, done.stdout, [line for line in lines if not line.startswith("import time:")], imported


def test_a_sweep_on_one_machine(workplace: Workplace) -> None:
    runs = workplace.root / "runs"
    arguments = ["hydra/launcher=slurm-local", *workplace.sweep("Zorblatt", missing=["Nobody"])]
    code, out, err, imported = sweep(workplace, *arguments)
    message = f"data.probes_path: the file {workplace.root}/probes-Nobody.jsonl does not exist."
    assert (code, err) == (1, [f"failed: Nobody-seed0: {message} ({runs}/Nobody-seed0)"])
    assert json.loads((runs / "Nobody-seed0" / "status.json").read_text())["message"] == message
    assert json.loads((runs / "Zorblatt-seed0" / "status.json").read_text())["state"] == "done"
    assert "1 of 2 runs are done\n" in out
    assert "FORGET_QA" in out
    assert "atu.errors" in imported
    assert not imported & {"torch", "transformers", "accelerate", "safetensors"}

    code, out, err, _ = sweep(workplace, "hydra/launcher=slurm-local", *workplace.sweep("Zorblatt"))
    assert (code, err) == (0, [])
    assert out.startswith("1 of 1 runs are done\n")
    assert len(list((runs / ".multirun").iterdir())) == 1
