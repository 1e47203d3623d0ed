"""Ctrl-C ends a run at once and says how to go on; the same command then ends in the same weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file
from workplace import Workplace

from .conftest import Command

ROOT = Path(__file__).resolve().parents[2]


def wait_for(path: Path, text: str) -> None:
    """Until a file that grows holds `text`."""
    end = time.monotonic() + 60
    while not (path.exists() and text in path.read_text()):
        assert time.monotonic() < end, f"{path} never came to hold {text}"
        time.sleep(0.005)


def test_ctrl_c_in_the_middle_of_unlearning(command: Command, workplace: Workplace) -> None:
    run = workplace.root / "runs" / "tiny"
    more = ("task.stages=[{type: training, steps: 3}, {type: unlearning, steps: 30}]", "skip_initial_eval=true")
    arguments = workplace.overrides(*more)
    paths = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    with subprocess.Popen(
        [sys.executable, str(ROOT / "launch_training.py"), *arguments],
        cwd=workplace.root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that starts the tests in the background has its children ignore Ctrl-C.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as process:
        wait_for(run / "metrics.jsonl", '"train/loss"')
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.startswith("\ninterrupted. The same command resumes where this one stopped: python launch_training.py ")
    assert err.count("\n") == 2
    status = json.loads((run / "status.json").read_text())
    assert (status["state"], status["stage"]) == ("interrupted", "02-unlearn")

    assert command(*more).code == 0
    assert command(*more, "name=whole").code == 0
    weights = [load_file(workplace.root / "runs" / name / "model/model.safetensors") for name in ("tiny", "whole")]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[1])
