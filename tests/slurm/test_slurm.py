"""The launcher of a real cluster, as its file stands, on a SLURM of one node: what a user types, sees and is left."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import equal
from workplace import Workplace

from .cluster import job, queued, slurm, wait_for
from .conftest import Start

LAUNCHER = ("-m", "hydra/launcher=lrz-a100")


def targets(workplace: Workplace, *names: str, missing: Sequence[str] = ()) -> list[str]:
    """Overrides of tiny runs; one of them is long enough to be met in its training."""
    stages = "task.stages='${oc.decode:${oc.env:STAGES_${unlearning_target}}}'"
    return [*workplace.sweep(*names, missing=missing), stages, "training.checkpoint_seconds=0"]


def is_warned(pid: int) -> bool:
    """Whether a stopped process will find the signal of its time limit when it goes on, or has already gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return True
    pending = int(next(line for line in lines if line.startswith("ShdPnd")).split()[1], 16)
    return bool(pending >> (signal.SIGUSR2 - 1) & 1)


def status(folder: Path) -> dict[str, Any]:
    """What status.json of a run says."""
    found: dict[str, Any] = json.loads((folder / "status.json").read_text())
    return found


def test_a_sweep_goes_through_a_time_limit_and_a_bad_job(workplace: Workplace, start: Start) -> None:
    runs = workplace.root / "runs"
    arguments = targets(workplace, "Zorblatt", "Quux", missing=["Nobody"])
    limits = ("hydra.launcher.timeout_min=10", "hydra.launcher.array_parallelism=3")
    sweep = start(*LAUNCHER, *limits, *arguments)
    run = runs / "Zorblatt-seed0"
    wait_for("the array is in the queue", lambda: len(queued()) > 0, 30)
    array = queued()[0].partition("_")[0]
    wait_for("training has a checkpoint", lambda: (run / "checkpoint").exists(), 150)
    # SLURM looks at the limits every 30 s, and warns a job that has less than 30 + signal_delay_s (120) left. Until
    # then it is held where it is, so that a fast machine has not finished it.
    pid = status(run)["pid"]
    os.kill(pid, signal.SIGSTOP)
    minutes = int(job(f"{array}_0")["RunTime"].split(":")[1])
    slurm("scontrol", "update", f"jobid={array}_0", f"TimeLimit={minutes + 2}")
    alone = {name: start(*targets(workplace, name), f"name={name}-alone") for name in ("Zorblatt", "Quux")}
    wait_for("SLURM's warning", lambda: is_warned(pid), 60)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
    wait_for("the job is queued again", lambda: job(f"{array}_0")["Reason"] == "BeginTime", 60)
    assert (status(run)["state"], job(f"{array}_0")["Restarts"]) == ("interrupted", "1")
    # SLURM waits two minutes. A job that starts in the second in which it was ended fails ("already killed, do not
    # launch"), so some seconds must pass.
    slurm("scontrol", "update", f"jobid={array}_0", "TimeLimit=10", "StartTime=now+5")
    code, out, err = sweep.end(180)
    assert "atu.errors" in sweep.imported
    assert not sweep.imported & {"torch", "transformers", "accelerate", "safetensors"}

    # The one that failed is named in one line, with its reason and its folder, which holds the reason too.
    message = f"data.probes_path: the file {workplace.root}/probes-Nobody.jsonl does not exist."
    assert (code, err) == (1, [f"failed: Nobody-seed0: {message} ({runs}/Nobody-seed0)"])
    assert status(runs / "Nobody-seed0") | {"state": "failed", "message": message} == status(runs / "Nobody-seed0")
    # What was seen on the way, and the table at the end.
    assert f"Quux-seed0 (job {array}_1): done\n" in out
    assert f"Nobody-seed0 (job {array}_2): failed, {message}\n" in out
    assert "2 of 3 runs are done\n" in out
    assert "FORGET_QA" in out
    # It went on where it was.
    assert "resuming in stage" in (run / "log.txt").read_text()

    for name in ("Zorblatt", "Quux"):
        folder = runs / f"{name}-seed0"
        assert status(folder)["state"] == "done"
        assert alone[name].end(180)[0] == 0, alone[name].err.read_text()[-2000:]
        weights = [load_file(root / "model" / "model.safetensors") for root in (folder, runs / f"{name}-alone")]
        assert weights[0].keys() == weights[1].keys()
        assert all(equal(weights[0][key], weights[1][key]) for key in weights[1])
        answers = [[*root.glob("stages/02-*/answers.corrected.jsonl")] for root in (folder, runs / f"{name}-alone")]
        assert answers[0][0].read_text() == answers[1][0].read_text()

    # Once more: what is done is not run again.
    before = sorted((runs / ".multirun").glob("*/jobs.json"))
    code, out, err = start(*LAUNCHER, *limits, *targets(workplace, "Zorblatt", "Quux")).end(60)
    assert (code, err) == (0, [])
    assert out.startswith("2 of 2 runs are done\n")
    assert sorted((runs / ".multirun").glob("*/jobs.json")) == before


def test_the_same_command_finds_its_jobs_in_the_queue(workplace: Workplace, start: Start) -> None:
    held = (*LAUNCHER, "+hydra.launcher.additional_parameters.hold=true")
    arguments = [*held, *targets(workplace, "Zorblatt", "Quux")]
    first = start(*arguments)
    wait_for("the array is in the queue", lambda: len(queued()) == 2, 30)
    array = queued()[0].partition("_")[0]
    first.process.send_signal(signal.SIGINT)
    code, _, err = first.end(30)
    assert code == 130
    assert f"SLURM continues its jobs; `scancel {array}` ends them." in err
    assert err[-1].startswith("interrupted. Jobs that a cluster already has continue there. The same command resumes")

    # Another config for the same run has to wait.
    code, _, err = start(*arguments[:-1], "name=Zorblatt-seed0", "unlearning_target=Quux").end(30)
    assert (code, err) == (
        1,
        [
            f"failed: Zorblatt-seed0: SLURM still has job {array}_0 for it, with another config: scancel {array}_0 "
            f"first ({workplace.root}/runs/Zorblatt-seed0)"
        ],
    )

    second = start(*arguments)
    shown = "".join(
        f"{name}-seed0 (job {array}_{index}): pending (JobHeldUser)\n"
        for index, name in enumerate(("Zorblatt", "Quux"))
    )
    wait_for("both are shown", lambda: second.out.read_text() == shown, 30)
    assert len(queued()) == 2
    slurm("scancel", array)
    code, out, err = second.end(60)
    assert code == 1
    assert "0 of 2 runs are done\n" in out
    assert [line.partition(";")[0] for line in err] == [
        f"failed: {name}-seed0: its job {array}_{index} ended as cancelled"
        for index, name in enumerate(("Zorblatt", "Quux"))
    ]


def test_slurm_refuses(workplace: Workplace, start: Start) -> None:
    wrong = (*LAUNCHER, "hydra.launcher.partition=nowhere", *targets(workplace, "Quux"))
    code, out, err = start(*wrong).end(30)
    assert (code, out) == (2, "")
    assert err == [
        "error: SLURM did not take the jobs: sbatch: error: invalid partition specified: nowhere sbatch: error: Batch "
        "job submission failed: Invalid partition name specified"
    ]
    assert queued() == []
