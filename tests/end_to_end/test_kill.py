"""kill -9 at any moment, and the same command again, ends in the same weights as a run never killed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from child_process import start, wait
from killed_once import interrupt_before_stage
from safetensors.torch import load_file
from workplace import Workplace

from atu.config import RunConfig
from atu.launch import run_and_report as run

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


def dying(config: RunConfig, number: int, told: Path) -> None:
    """Run, and be killed right before the run folder gets, moves or loses the `number`th thing with a name."""
    root, count = Path(config.runs_dir) / config.name, 0

    def before(call: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        nonlocal count
        source, target = arguments[0], arguments[-1]
        # Small files are replaced all the time, and are whole before and after.
        if "dir_fd" in more:
            point = "deleting" if source == "state.json" else ""
        else:
            is_small = Path(target).suffix in (".html", ".json", ".jsonl", ".yaml")
            is_moved = Path(source).exists() and root in Path(target).parents and not is_small
            point = Path(target).name.partition(".partial")[0] if is_moved else ""
        if point:
            count += 1
            if count == number:
                told.write_text(point)
                os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **more)

    os.rename, os.replace = partial(before, os.rename), partial(before, os.replace)
    os.unlink = partial(before, os.unlink)
    run(config)


def contents(root: Path) -> dict[str, bytes]:
    """The exported model, and every answer and score."""
    paths = [root / "model" / "model.safetensors", *root.glob("stages/*/answers.*"), *root.glob("stages/*/scores.json")]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def test_killed_at_each_rename_from_a_stage_to_the_end_a_run_loses_nothing(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = workplace.config("task.stages=[{type: training, steps: 2}, {type: unlearning, steps: 2}]")
    folder, told = run(config), workplace.root / "told"
    folder.close()
    expected = contents(folder.root)
    shutil.rmtree(folder.root)

    interrupt_before_stage(config, 1, monkeypatch)
    kept = shutil.copytree(folder.root, workplace.root / "kept")
    points = []
    while True:
        shutil.rmtree(folder.root)
        shutil.copytree(kept, folder.root)
        status = wait(start(partial(dying, config, len(points) + 1, told)), 120.0)
        if status == 0:
            break
        assert status == signal.SIGKILL
        points.append(told.read_text())
        assert (folder.read_status()["state"], folder.is_done()) == ("interrupted", False)
        run(config).close()
        assert contents(folder.root) == expected, points[-1]
        assert {path.name for path in folder.root.iterdir()} == {
            *(path.name for path in kept.iterdir()), "model", "report.html",
        }  # fmt: skip
    # The checkpoint of the stage's end takes its place, and the one before goes; then the record, then the model.
    names = [re.sub(r"\.[0-9a-f]{8}$", "", point) for point in points]
    assert names == [
        "checkpoint.previous", "checkpoint", ".checkpoint.previous", "deleting", "02-unlearn", "model"
    ]  # fmt: skip
