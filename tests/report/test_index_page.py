"""The page about many runs as a file: self-contained, escaped, and honest about what is missing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from pages import assert_self_contained, read_page

from atu.errors import UserError
from atu.records import AttackRow, RunRecord, Score, StageResult
from atu.report.index_page import write_index
from atu.report.page import write_report
from atu.runs.run_folder import RunFolder

MakeRecord = Callable[..., RunRecord]
MakeRun = Callable[..., RunFolder]


def data_of(path: Path) -> dict[str, Any]:
    return cast(dict[str, Any], read_page(path).data)


def test_nothing_is_loaded_from_outside(make_record: MakeRecord, tmp_path: Path) -> None:
    path = write_index([make_record()], tmp_path / "results" / "index.html")
    assert path == tmp_path / "results" / "index.html"
    assert_self_contained(path)


def test_no_runs_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no runs to show"):
        write_index([], tmp_path / "index.html")
    assert list(tmp_path.iterdir()) == []


def test_names_and_configs_stay_data(make_record: MakeRecord, tmp_path: Path) -> None:
    bad = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u2028"
    run = make_record(bad, method=bad, target=bad, model=bad, source=bad, state=bad, config={"a": {bad: bad}})
    path = write_index([run], tmp_path / "index.html")
    page = read_page(path)
    assert "<script>alert(1)" not in path.read_text(encoding="utf-8")
    assert [kind for kind, _ in page.scripts] == ["application/json", ""]
    assert "img" not in page.tags
    (found,) = data_of(path)["runs"]
    assert [found[key] for key in ("name", "target", "model", "source", "state")] == [bad] * 5
    assert found["config"] == {f"a.{bad}": bad}


def test_runs_are_listed_by_method_concept_and_seed_and_twins_stay_two(make_record: MakeRecord, tmp_path: Path) -> None:
    runs = [
        make_record("e", method="a_new_method"),
        make_record("d", method="unlearning_npo"),
        make_record("c", seed=2),
        make_record("b", seed=1),
        make_record("a", target="Japan"),
        make_record("b", seed=1, source="entity/project/twin"),
    ]
    data = data_of(write_index(runs, tmp_path / "index.html"))
    assert [run["name"] for run in data["runs"]] == ["a", "b", "b", "c", "d", "e"]
    assert [run["source"] for run in data["runs"][1:3]] == ["entity/project/b", "entity/project/twin"]
    assert [method["name"] for method in data["methods"]] == ["unlearning_atu", "unlearning_npo", "a_new_method"]


def test_a_score_that_is_no_number_is_a_gap(make_record: MakeRecord, tmp_path: Path) -> None:
    data = data_of(write_index([make_record(path=[(80, 90), (None, 70)])], tmp_path / "index.html"))
    before, after = data["runs"][0]["stages"]["corrected"]
    # Half of the interval is 8 in the fixture.
    assert before["scores"] == {"forget/all": [80, 72, 88, 50], "neighbor/all": [90, 82, 98, 50]}
    assert after["scores"] == {"neighbor/all": [70, 62, 78, 50]}


def test_an_endless_interval_has_no_end(make_record: MakeRecord, tmp_path: Path) -> None:
    score = Score(value=1.5, n=9, low=1.0, high=math.inf)
    stage = StageResult(index=0, kind="before", label="00-before", scores={"nll/forget@known": score}, seconds=1.0)
    data = data_of(write_index([make_record(stages={"corrected": (stage,)})], tmp_path / "index.html"))
    (found,) = data["runs"][0]["stages"]["corrected"]
    assert found["scores"] == {"nll/forget@known": [1.5, 1.0, None, 9]}


def test_config_is_flat_text(make_record: MakeRecord, tmp_path: Path) -> None:
    config = {"seed": 3, "task": {"name": "unlearning_atu", "terms": ["a", None], "empty": {}}, "lr": 2e-5}
    (run,) = data_of(write_index([make_record(config=config)], tmp_path / "index.html"))["runs"]
    assert run["config"] == {
        "seed": "3",
        "task.name": "unlearning_atu",
        "task.terms": '["a", null]',
        "task.empty": "{}",
        "lr": "2e-05",
    }


def test_main_columns_leave_out_what_only_some_readers_want(make_record: MakeRecord, tmp_path: Path) -> None:
    names = ("forget/all", "forget/all@known", "forget/fb_f1", "attack/role_play", "utility/gen", "degenerate/forget")
    scores = {name: Score(value=1.0, n=1, low=1.0, high=1.0) for name in names}
    stage = StageResult(index=0, kind="before", label="00-before", scores=scores, seconds=1.0)
    data = data_of(write_index([make_record(stages={"released": (stage,)})], tmp_path / "index.html"))
    assert data["columns"] == ["forget/all", "utility/gen", "degenerate/forget"]
    assert set(data["scored"]) == set(names)
    assert data["scorings"] == ["released"]


def test_a_run_of_a_folder_is_linked_to_its_report(make_run: MakeRun, make_record: MakeRecord, tmp_path: Path) -> None:
    run = make_run(name="who? <b> #1", num_answers=1)
    other = make_run(name="without", num_answers=1)
    write_report(run)
    records = [
        make_record("a", source=str(run.root)),
        make_record("b", source=str(other.root)),
        make_record("c", source="entity/project/c"),
    ]
    data = data_of(write_index(records, tmp_path / "results" / "index.html"))
    assert [found["report"] for found in data["runs"]] == [
        "./../runs/who%3F%20%3Cb%3E%20%231/report.html",
        None,
        None,
    ]


def test_attacks_are_given_or_read_from_the_folder(make_run: MakeRun, make_record: MakeRecord, tmp_path: Path) -> None:
    folder = make_run(num_answers=1)
    row = {
        "attack": "quantize",
        "setting": "int8",
        "model": "unlearned",
        "seed": None,
        "step": None,
        "group": "forget/all",
        "score": {"value": 24.0, "n": 60, "low": 16.0, "high": None},
        "degenerate": 0.01,
        "recovered": None,
        "recovered_low": None,
        "recovered_high": None,
    }
    folder.attacks_path.write_text(json.dumps([row]))
    records = [make_record("b", seed=1), make_record("a", source=str(folder.root))]
    read = data_of(write_index(records, tmp_path / "index.html"))["attacks"]
    shown = {name: row[name] for name in ("attack", "setting", "step", "group", "degenerate", "recovered")}
    assert read == [{**shown, "run": 0, "score": [24.0, 16.0, None, 60]}]
    given = AttackRow(
        attack="relearn",
        setting="full",
        model="unlearned",
        seed=0,
        step=5,
        group="forget/qa",
        score=Score(value=math.nan, n=0, low=math.nan, high=math.nan),
        degenerate=None,
        recovered=0.5,
    )
    path = write_index(records, tmp_path / "index.html", [[given], []])
    (found,) = data_of(path)["attacks"]
    assert (found["run"], found["attack"], found["score"], found["recovered"]) == (1, "relearn", None, 0.5)
    assert "forget/qa" in data_of(path)["metrics"]


@pytest.mark.parametrize("num_scored", [0, 1])
def test_unfinished_runs_are_counted(make_record: MakeRecord, tmp_path: Path, num_scored: int) -> None:
    runs = [
        make_record("a", path=[(80, 90)] * num_scored, state="running"),
        make_record("b", path=(), state="failed"),
        make_record("c", path=(), state="failed"),
    ]
    page = read_page(write_index(runs, tmp_path / "index.html"))
    assert "Not all runs are done" in page.text
    assert "running运行中: 1" in page.text
    assert "failed失败: 2" in page.text
    assert ("No run has a scored stage yet" in page.text) == (num_scored == 0)


def test_a_folder_that_cannot_be_written_is_named(make_record: MakeRecord, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"Cannot write .*index\.html"):
        write_index([make_record()], tmp_path / "file" / "index.html")
