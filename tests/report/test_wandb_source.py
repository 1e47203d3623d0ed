"""Runs read from a wandb server and from `.wandb` files: ours exactly, the original's as far as it logs them."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from wandb_server import StoredRun, WandbServer

from atu.errors import UserError
from atu.records import Score, StageResult
from atu.report.wandb_source import read_wandb
from atu.runs.history import HistoryRow
from atu.runs.wandb_rows import to_wandb

CONFIG = {
    "name": "king",
    "seed": 3,
    "unlearning_target": "1_Stephen_King",
    "task": {"name": "unlearning_ga"},
    "pre_trained_llm": {"name": "phi-3-mini-4k-instruct"},
    "skip_initial_eval": False,
}


def fill(server: WandbServer, run_id: str, rows: list[dict[str, Any]], **config: Any) -> StoredRun:
    """A run of project `p` as some client left it."""
    run = server.run("p", run_id)
    run.config = {key: {"value": value} for key, value in {**CONFIG, **config}.items()}
    run.history = [{"_step": step, **row} for step, row in enumerate(rows)]
    run.state = "finished"
    return run


def stage(index: int, value: float) -> StageResult:
    score = Score(value=value, n=12, low=5.5, high=math.nan)
    return StageResult(
        index=index, kind="unlearn", label=f"{index:02d}-unlearn", scores={"forget/qa": score}, seconds=61.5,
        signals={"signal/retain_kl": 0.25},
    )  # fmt: skip


def ours(*stages: StageResult) -> list[dict[str, Any]]:
    return [to_wandb(HistoryRow(step=10 * s.index, stage=s.index, results={"corrected": s})) for s in stages]


def original(number: int, **values: object) -> dict[str, Any]:
    scores = {f"report/{name.replace('_', '/')}": value for name, value in values.items()}
    return {"eval/stage_number": number, "report/stage_number": number, **scores}


def test_a_project_of_more_than_one_page_is_read_whole(wandb_server: WandbServer) -> None:
    for index in range(53):  # a page has 50
        fill(wandb_server, f"run{index:02d}", [])
    records = read_wandb("me", "p")
    assert [record.source for record in records] == [f"me/p/run{index:02d}" for index in range(53)]
    assert wandb_server.requests.count("Runs") == 2


def test_a_run_without_history_has_no_stages(wandb_server: WandbServer) -> None:
    fill(wandb_server, "empty", [])
    (record,) = read_wandb("me", "p")
    assert record.stages == {}
    assert (record.method, record.target, record.model) == ("unlearning_ga", "1_Stephen_King", "phi-3-mini-4k-instruct")


@pytest.mark.parametrize(
    ("theirs", "state"),
    [
        ("finished", "done"), ("running", "running"), ("failed", "failed"), ("crashed", "interrupted"),
        ("killed", "interrupted"), ("preempted", "interrupted"),
    ],
)  # fmt: skip
def test_states(wandb_server: WandbServer, theirs: str, state: str) -> None:
    fill(wandb_server, "r", []).state = theirs
    assert read_wandb("me", "p")[0].state == state


def test_a_crashed_run_has_the_stages_that_it_finished_and_nan_stays_nan(wandb_server: WandbServer) -> None:
    stages = (stage(1, math.nan), stage(2, 30.0))
    rows = [*ours(*stages), {"step": 21, "stage": 3, "train/loss": "NaN"}]
    fill(wandb_server, "r", rows).state = "crashed"
    assert read_wandb("me", "p")[0].stages == {"corrected": stages}


def test_stages_of_the_original_project_have_values_without_n_and_interval(wandb_server: WandbServer) -> None:
    rows = [
        {"train/loss": 0.5},
        original(0, forget_qa=80.0, mia_fm="NaN"),
        original(2, forget_qa=36.3, neighbor_qa=71.0),
    ]
    fill(wandb_server, "r", rows)
    (record,) = read_wandb("me", "p")
    no_interval = {"n": 0, "low": math.nan, "high": math.nan}
    assert record.stages == {
        "released": (
            StageResult(
                index=0, kind="before", label="00-before", seconds=math.nan,
                scores={"forget/qa": Score(value=80.0, **no_interval)},
            ),
            StageResult(
                index=2, kind="unlearn", label="02-unlearn", seconds=math.nan,
                scores={
                    "forget/qa": Score(value=36.3, **no_interval),
                    "neighbor/qa": Score(value=71.0, **no_interval),
                },
            ),
        )
    }  # fmt: skip


@pytest.mark.parametrize(("skipped", "indices"), [(False, [0, 1, 2]), (True, [1, 2, 3])])
def test_the_original_numbers_every_stage_of_ga_with_0(
    wandb_server: WandbServer, skipped: bool, indices: list[int]
) -> None:
    fill(wandb_server, "r", [original(0, forget_qa=float(v)) for v in (80, 60, 40)], skip_initial_eval=skipped)
    stages = read_wandb("me", "p")[0].stages["released"]
    assert [s.index for s in stages] == indices
    assert [s.kind == "before" for s in stages] == [index == 0 for index in indices]
    assert [s.scores["forget/qa"].value for s in stages] == [80, 60, 40]


def test_runs_are_chosen_by_id_or_name_and_one_name_may_be_two_runs(wandb_server: WandbServer) -> None:
    for run_id, name in (("a", "king"), ("b", "king"), ("c", "swift"), ("d", "cruise")):
        fill(wandb_server, run_id, []).display_name = name
    assert [r.source for r in read_wandb("me", "p", run_ids=["d"], run_names=["king"])] == [
        "me/p/a",
        "me/p/b",
        "me/p/d",
    ]
    with pytest.raises(UserError, match=r"project me/p has no run nobody, z\.$"):
        read_wandb("me", "p", run_ids=["a", "z"], run_names=["nobody"])


@pytest.mark.parametrize(
    ("entity", "project", "message"),
    [
        ("you", "p", "wandb cannot give you/p: Could not find project p"),
        ("me", "q", "wandb cannot give me/q: Could not find project q"),
        ("me", "nothing", "wandb's project me/nothing has no runs."),
    ],
)
def test_what_is_not_there_is_one_line(wandb_server: WandbServer, entity: str, project: str, message: str) -> None:
    fill(wandb_server, "r", [])
    wandb_server.projects["nothing"] = {}
    with pytest.raises(UserError, match=message) as caught:
        read_wandb(entity, project)
    assert "\n" not in str(caught.value)


def test_a_refusal_of_the_api_is_one_line(wandb_server: WandbServer) -> None:
    wandb_server.refusal = "permission denied\nto read this project"
    with pytest.raises(UserError, match=r"wandb cannot give me/p: .*permission denied") as caught:
        read_wandb("me", "p")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("record", ["{", "[]", '{"corrected": {"index": 1}}', "null", 7])
def test_a_broken_stage_is_told(wandb_server: WandbServer, record: object) -> None:
    fill(wandb_server, "r", [{"stage": 1, "stage/record": record}])
    with pytest.raises(UserError, match="history of me/p/r has a broken stage"):
        read_wandb("me", "p")


def test_a_run_of_something_else_is_read_as_one_without_method(wandb_server: WandbServer) -> None:
    run = wandb_server.run("p", "r")
    run.config, run.history = {"lr": {"value": 1}, "task": {"value": "x"}}, [{"_step": 0, "loss": 1.0}]
    (record,) = read_wandb("me", "p")
    assert (record.method, record.target, record.seed, record.stages) == ("", "", None, {})
    assert json.loads(json.dumps(record.config)) == {"lr": 1, "task": "x"}
