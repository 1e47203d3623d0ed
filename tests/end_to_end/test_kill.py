"""kill -9 at any moment, and the same command again, ends in the same weights as a run never killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from workplace import Workplace

MIN_KILLS = 12


def test_killed_runs_end_in_the_same_weights(workplace: Workplace) -> None:
    script = Path(__file__).with_name("killed_runs.py")
    overrides = [part for part in workplace.overrides() if part != "name=tiny"]
    # A checkpoint after every step, so that every kind of moment is met; steps enough that no machine is through before
    # the last kill.
    stages = "[{type: training, steps: 24}, {type: unlearning, steps: 24}, {type: training, steps: 16}, " \
        "{type: unlearning, steps: 24}]"  # fmt: skip
    overrides += [f"task.stages={stages}", "training.checkpoint_seconds=0"]
    command = [sys.executable, str(script), "0", str(MIN_KILLS), *overrides]
    environment = {**os.environ, "PYTHONPATH": str(script.parents[1])}  # where child_process lies
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["status"] == 0
    assert len(seen["kills"]) >= MIN_KILLS, seen
    kinds = {stage.split("-")[1] for stage in seen["kills"] if "-" in stage}
    assert {"align", "unlearn"} <= kinds, seen
    whole, killed = workplace.root / "runs" / "whole", workplace.root / "runs" / "killed"
    for name in ("model/model.safetensors", "checkpoint/predictor.safetensors"):
        first, second = load_file(whole / name), load_file(killed / name)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first), name
    for stage in sorted(path.name for path in (whole / "stages").iterdir()):
        answers = [(folder / "stages" / stage / "answers.corrected.jsonl") for folder in (whole, killed)]
        if answers[0].exists():
            assert answers[0].read_text() == answers[1].read_text()
    steps = [
        [(row["step"], row["name"], row["value"]) for row in map(json.loads, path.read_text().splitlines())]
        for path in (whole / "metrics.jsonl", killed / "metrics.jsonl")
    ]
    assert steps[0] == steps[1]
