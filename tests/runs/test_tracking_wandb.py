"""A run in wandb: written to a server on loopback or to a file, and read back as it was."""

from __future__ import annotations

import gc
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from wandb_server import StoredRun, WandbServer, kill_service

from atu.errors import UserError
from atu.records import Judgement, RunRecord, Score
from atu.report.page import write_report
from atu.report.sync import sync
from atu.report.wandb_source import read_wandb
from atu.runs.config import WandbConfig
from atu.runs.history import history, stage_results
from atu.runs.run_folder import RunFolder
from atu.runs.session import session
from atu.runs.sinks import sinks
from atu.runs.tracking import MetricLog
from atu.runs.wandb_rows import read_stages

ONLINE = WandbConfig(mode="online", project="forgetting")
MakeRun = Callable[..., RunFolder]


def track(folder: RunFolder, config: WandbConfig = ONLINE, *, midway: Callable[[], None] = lambda: None) -> None:
    """A process that finds a run in its folder, and adds ten steps to it."""
    with session(folder, write_report) as tracker:
        tracker.start(sinks(folder, config, tensorboard=False))
        last = MetricLog(folder.metrics_path).rows()[-1:]
        start = int(last[0]["step"]) if last else 0
        tracker.rewind(start)
        midway()
        for step in range(start + 1, start + 11):
            tracker.log(step, 9, "train/loss", 1 / step)


def read_back() -> RunRecord:
    (record,) = read_wandb("me", "forgetting")
    return record


def the_run(server: WandbServer) -> StoredRun:
    (run,) = server.projects["forgetting"].values()
    return run


def num_rows(folder: RunFolder) -> int:
    return len(history(MetricLog(folder.metrics_path).rows(), stage_results(folder)))


def test_an_online_run_comes_back_as_it_was_written(make_run: MakeRun, wandb_server: WandbServer) -> None:
    folder = make_run(num_answers=9)
    stage, released = (
        folder.read_stages()[-1],
        {
            "forget/all": Score(value=40.0, n=133, low=31.5, high=48.5),
            "mia/fm": Score(value=math.nan, n=0, low=math.nan, high=math.nan),
        },
    )
    folder.set_status("running", stage.label, "")  # a finished run takes no other stage for its own
    folder.write_stage(stage, [], {"released": Judgement(scores=released, answers=[])})
    folder.set_status("done", stage.label, "")
    track(folder)
    record = read_back()
    assert record.stages == {scoring: tuple(folder.read_stages(scoring)) for scoring in ("corrected", "released")}
    assert record.stages["released"][-1].scores["forget/all"] == released["forget/all"]
    assert (record.name, record.method, record.target) == ("shakespeare", "unlearning_atu", "William Shakespeare")
    assert (record.model, record.seed, record.state) == ("SmolLM2-135M-Instruct", 0, "done")
    assert record.config == folder.read_config()


def test_names_steps_and_files_in_wandb(
    make_run: MakeRun, wandb_server: WandbServer, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = make_run(num_answers=9)
    track(folder)
    run = the_run(wandb_server)
    assert capfd.readouterr() == (f"wandb: {wandb_server.url}/me/forgetting/runs/{run.id}\n", "")
    assert [row["_step"] for row in run.history] == list(range(num_rows(folder)))
    (last,) = (row for row in run.history if row.get("stage_name") == "04-unlearn")
    assert (last["stage"], last["step"], last["corrected/forget/all"]) == (4, 1200, 23.0)
    assert {"step", "stage", "align/loss"} <= set(run.history[1])
    (files,) = run.artifacts.values()
    assert {"config.yaml", "manifest.json", "metrics.jsonl", "report.html", "stages/04-unlearn/scores.json"} <= set(
        files
    )
    assert files["report.html"] == folder.report_path.read_bytes()


def test_a_resumed_run_goes_on_in_the_same_wandb_run(make_run: MakeRun, wandb_server: WandbServer) -> None:
    folder = make_run(num_answers=3, num_stages=2)
    track(folder)
    folder.set_status("running", "", "")
    MetricLog(folder.metrics_path).rewind(305)  # the checkpoint is older than what wandb has
    track(folder)
    assert [row["_step"] for row in the_run(wandb_server).history] == list(range(num_rows(folder)))
    assert the_run(wandb_server).history[-1]["step"] == 315


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")  # wandb drops the dead one
def test_a_service_that_dies_is_told_once_and_sync_sends_the_rest(
    make_run: MakeRun, wandb_server: WandbServer, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = make_run(num_answers=3, num_stages=2)
    track(folder, midway=kill_service)
    assert folder.read_status()["state"] == "done"
    (warning,) = capfd.readouterr().err.splitlines()
    assert re.fullmatch(
        r"warning: wandb failed: .*; `atu report sync .*` sends what is missing. The run continues, and its folder has "
        r"everything.",
        warning,
    )
    assert len(MetricLog(folder.metrics_path).rows()) > 300
    address = send(folder)
    gc.collect()
    assert address == f"{wandb_server.url}/me/forgetting/runs/{the_run(wandb_server).id}"
    assert [row["_step"] for row in the_run(wandb_server).history] == list(range(num_rows(folder)))


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_the_exit_status_of_a_service_that_dies_at_its_end_is_not_the_runs(
    make_run: MakeRun, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb")
    folder, teardown = make_run(num_answers=3, num_stages=1), wandb.teardown

    def end() -> None:
        with suppress(Exception):
            teardown()
        sys.exit(-9)

    with monkeypatch.context() as context:
        context.setattr(wandb, "teardown", end)
        track(folder, midway=kill_service)
    assert folder.read_status()["state"] == "done"


def test_a_server_that_is_down_is_told_at_the_end_and_sync_sends_the_rest(
    make_run: MakeRun, wandb_server: WandbServer, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setattr(wandb.Api, "_HTTP_TIMEOUT", 1)  # else each question is tried for 19 s
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "1")
    folder = make_run(num_answers=3, num_stages=1)
    track(folder, midway=lambda: set_down(wandb_server, True))
    assert folder.read_status()["state"] == "done"
    assert capfd.readouterr().err.count("warning: wandb failed: ") == 1
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "20")
    set_down(wandb_server, False)
    send(folder)
    assert [row["_step"] for row in the_run(wandb_server).history] == list(range(num_rows(folder)))


def test_sync_twice_changes_nothing(
    make_run: MakeRun, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "forgetting")  # the run was never tracked
    folder = make_run(num_answers=3, num_stages=3, state="failed")
    (folder.root / "figures").mkdir()
    (folder.root / "figures" / "stages.png").write_bytes(b"a picture")
    send(folder)
    first = the_run(wandb_server)
    rows, files = list(first.history), dict(first.artifacts)
    assert len(rows) == num_rows(folder)
    assert files["run-" + first.id]["figures/stages.png"] == b"a picture"
    assert read_back().state == "failed"
    send(folder)
    assert (the_run(wandb_server).history, the_run(wandb_server).artifacts) == (rows, files)


def test_sync_says_when_wandb_does_not_take_the_history(
    make_run: MakeRun, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atu.report.sync._WAIT_SECONDS", 0.0)
    wandb_server.refuses_history = True
    with pytest.raises(UserError, match=r"shows 0 of 1 rows. Try again later"):
        send(make_run(num_answers=3, num_stages=1))


def test_sync_does_not_touch_a_run_that_is_being_written(make_run: MakeRun, wandb_server: WandbServer) -> None:
    folder = make_run(num_stages=1)  # holds the lock
    with pytest.raises(UserError, match="is writing the run"):
        sync(RunFolder(root=folder.root))
    assert wandb_server.requests == []


def test_a_run_of_the_same_id_that_is_not_ours_is_refused(make_run: MakeRun, wandb_server: WandbServer) -> None:
    wandb_server.run("forgetting", "mine")
    folder = make_run(num_stages=0)
    with pytest.raises(UserError, match=r"has a run me/forgetting/mine that is not of this folder"):
        track(folder, WandbConfig(mode="online", entity="me", project="forgetting", id="mine"))
    assert folder.read_status()["state"] == "failed"
    assert the_run(wandb_server).config == {}


def test_an_id_of_ones_own(make_run: MakeRun, wandb_server: WandbServer) -> None:
    folder = make_run(num_answers=3, num_stages=1)
    for _ in range(2):
        track(folder, WandbConfig(mode="online", entity="me", project="forgetting", id="mine"))
    assert list(wandb_server.projects["forgetting"]) == ["mine"]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (
            "",
            r"wandb has no login for http://127.*: run `wandb login`, or set WANDB_API_KEY. Or set wandb.mode=offline.",
        ),
        ("short", r"wandb does not take the login for http://127.*Or set wandb.mode=offline."),
    ],
)
def test_online_without_a_login(
    make_run: MakeRun, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch, key: str, message: str
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", key)
    with pytest.raises(UserError, match=message) as caught:
        track(make_run(num_stages=0))
    assert "\n" not in str(caught.value)
    assert wandb_server.projects == {}


def test_without_the_package_the_extra_is_named(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r"pip install '\.\[wandb\]'"):
        track(make_run(num_stages=0))


def test_an_offline_run_asks_no_server_and_its_file_has_the_whole_history(
    make_run: MakeRun, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    folder = make_run(num_answers=3, num_stages=3)
    track(folder, WandbConfig(mode="offline"))
    track(folder, WandbConfig(mode="offline"))  # gone on: a second file, with the whole history
    assert wandb_server.requests == []
    last = max(folder.root.rglob("*.wandb"), key=lambda path: path.stat().st_mtime_ns)
    rows = [record["history"]["item"] for record in inspect(last) if record["type"] == "history"]
    assert read_stages(rows, begins_with_before=True) == {"corrected": tuple(folder.read_stages())}


def inspect(file: Path) -> list[dict[str, Any]]:
    """The records of an offline run, by wandb's own reader of its format."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_an_interrupted_run_is_interrupted_in_wandb(make_run: MakeRun, wandb_server: WandbServer) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        track(make_run(num_answers=3, num_stages=1), midway=interrupt)
    assert the_run(wandb_server).state == "killed"
    assert read_back().state == "interrupted"


def send(folder: RunFolder) -> str:
    """`atu report sync`, by another process than the one that made the run."""
    folder.close()
    return sync(RunFolder(root=folder.root))


def set_down(server: WandbServer, is_down: bool) -> None:
    server.is_down = is_down
