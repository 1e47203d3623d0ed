"""Every launcher preset, and every command of docs/slurm.md, is taken by SLURM with what it asks for."""

from __future__ import annotations

import shlex
import signal
from pathlib import Path

import pytest

from .cluster import job, queued, wait_for
from .conftest import Start

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = [
    shlex.split(line)[2:]
    for line in (ROOT / "docs" / "slurm.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("python launch_training.py -m") and "--dry-run" not in line  # which starts nothing
]
PRESETS = sorted(path.stem for path in (ROOT / "config" / "hydra" / "launcher").glob("lrz-*.yaml"))


def test_there_are_presets_and_commands() -> None:
    assert len(PRESETS) == 5
    assert ["-m", "hydra/launcher=lrz-a100", "experiment=celebs-1"] in COMMANDS
    assert len(COMMANDS) == 2


@pytest.mark.parametrize(
    "arguments", [*COMMANDS, *(["-m", f"hydra/launcher={preset}", "seed=0"] for preset in PRESETS)], ids=" ".join
)
def test_slurm_takes_it(arguments: list[str], start: Start) -> None:
    command = start(*arguments, "+hydra.launcher.additional_parameters.hold=true")
    wait_for("the jobs are in the queue", lambda: queued() != [] or command.process.poll() is not None, 60)
    ids = queued()
    assert len(ids) == (5 if "experiment=celebs-1" in arguments else 3 if "seed=0,1,2" in arguments else 1)
    asked = job(ids[0])
    assert asked["Requeue"] == "1"
    assert asked["TimeLimit"] == "08:00:00"
    assert asked["MinMemoryNode"] == "64G"
    assert asked["CPUs/Task"] == "16"
    assert asked["TresPerNode"] == "gres:gpu:1"
    command.process.send_signal(signal.SIGINT)
    assert command.end(30)[0] == 130
