"""The JSON form of runs: by hand as short as can be, from runs without loss, and nothing wrong gets in."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scored_runs import points, record, save_comparison

from atu.errors import UserError
from atu.report.collect import Collection, read_local
from atu.report.exchange import read_runs, states_scoring, write_runs
from atu.report.selection import Rule
from atu.report.study import build_study
from atu.report.table_formats import as_csv
from atu.report.tables import aggregate_table, paired_table, run_table


def written(path: Path, value: Any) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def entry(**metrics: Any) -> dict[str, Any]:
    return {"metrics": {name.replace("__", "/"): value for name, value in metrics.items()}, "config": {"method": "ATU"}}


def test_the_form_of_the_issue_is_one_finished_stage(tmp_path: Path) -> None:
    path = written(tmp_path / "r.json", {"ATU 50%": entry(forget__fb=36.3, forget__qa=None)})
    (run,) = read_runs(path)
    assert (run.name, run.method, run.target, run.seed, run.state) == ("ATU 50%", "ATU", "", None, "done")
    (stage,) = run.stages["corrected"]
    assert {name: score.value for name, score in stage.scores.items()} == {"forget/fb": 36.3}
    assert not states_scoring(run)
    assert run.stages["released"] == run.stages["corrected"]


def test_a_file_may_say_which_scoring_its_numbers_are_of(tmp_path: Path) -> None:
    value = entry(forget__fb=36.3)
    value["config"]["scoring"] = "released"
    (run,) = read_runs(written(tmp_path / "r.json", {"ATU": value}))
    assert set(run.stages) == {"released"}
    assert states_scoring(run)


def test_the_method_is_the_key_where_the_config_has_none(tmp_path: Path) -> None:
    (run,) = read_runs(written(tmp_path / "r.json", {"GA": {"metrics": {"forget/all": 21.6}}}))
    assert run.method == "GA"


def test_runs_survive_the_file(tmp_path: Path) -> None:
    runs = read_local(save_comparison(tmp_path / "runs")).runs
    again = read_runs(write_runs(runs, tmp_path / "results_data.json"))
    assert len(again) == 12
    for old, new in zip(runs, again, strict=True):
        assert (old.stages, old.config, old.seed) == (new.stages, new.config, new.seed)


def test_the_file_holds_the_plain_numbers_of_the_last_stage_too(tmp_path: Path) -> None:
    path = write_runs([record(points((80, 90), (20, 60)))], tmp_path / "r.json")
    value = json.loads(path.read_text())["unlearning_atu-Japan-seed0"]
    assert value["metrics"] == {"forget/all": 20, "neighbor/all": 60, "utility/gen": 80}
    assert value["config"]["method"] == "unlearning_atu"


numbers = st.floats(0, 100) | st.just(math.nan)
curves = st.lists(
    st.fixed_dictionaries({"forget/all": numbers, "neighbor/all": numbers, "utility/gen": numbers}),
    min_size=1,
    max_size=4,
)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(curves, st.sampled_from(["unlearning_atu", "RMU"]), st.sampled_from("AB"), st.integers(0, 2)),
        min_size=1,
        max_size=6,
        unique_by=lambda run: run[1:],
    ),
    st.sampled_from([Rule(kind="last"), Rule(kind="best"), Rule(kind="matched", level=0.5)]),
)
def test_folders_and_file_give_the_same_tables(
    tmp_path_factory: pytest.TempPathFactory, chosen: Any, rule: Rule
) -> None:
    runs = [record(curve, method, target, seed) for curve, method, target, seed in chosen]
    path = write_runs(runs, tmp_path_factory.mktemp("file") / "r.json")

    def tables(of: Any) -> list[str]:
        try:
            study = build_study(Collection(runs=tuple(of)), rule=rule, scoring="corrected", names={})
        except UserError as error:
            return [str(error)]
        return [
            as_csv(run_table(study)),
            as_csv(aggregate_table(study)),
            as_csv(paired_table(study)),
        ]

    assert tables(read_runs(path)) == tables(runs)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{", "not valid JSON"),
        ('{"a": {"metrics": {"forget/fb": 1, "forget/fb": 2}}}', "the key 'forget/fb' is there twice"),
        ('{"a": {"metrics": {}}, "a": {"metrics": {}}}', "the key 'a' is there twice"),
        ([], "must hold an object"),
        ({}, "holds no runs"),
        ({"a": 3}, "must hold an object"),
        ({"a": {}}, "no 'metrics' and no 'stages'"),
        ({"a": {"metric": {}}}, "there is no key 'metric'. Did you mean 'metrics'?"),
        ({"a": {"metrics": []}}, "'metrics', 'config' and 'run_config' must be objects"),
        ({"a": {**entry(forget__fb=1), "config": 3}}, "'metrics', 'config' and 'run_config' must be objects"),
        ({"a": {**entry(forget__fb=1), "run_config": []}}, "'metrics', 'config' and 'run_config' must be objects"),
        ('{"a": {"metrics": {"forget/fb": ' + "9" * 400 + "}}}", "a number of 400 digits; at most 19 are read"),
        ('{"a": {"metrics": {"forget/fb": 1e999}}}', "the number 1e999 is too large"),
        ({"a\nb": entry(forget__fb=1)}, 'a run must have a name of one line, not "a\\nb"'),
        ({"": entry(forget__fb=1)}, 'a run must have a name of one line, not ""'),
        *(
            ({"a": {**entry(forget__fb=1), "config": {key: value}}}, f"{key} must be a text of one line, not ")
            for key in ("method", "target", "model", "state")
            for value in ("x\ny", 3, ["a"], None)
        ),
        ({"a": entry(forget__fbb=1)}, "there is no metric 'forget/fbb'. Did you mean 'forget/fb'?"),
        ({"a": entry(forget__fb="36.3")}, "the metric 'forget/fb' must be a number, or null for a gap, not \"36.3\""),
        ({"a": entry(forget__fb=True)}, "must be a number, or null for a gap, not true"),
        ({"a": {**entry(forget__fb=1), "config": {"seed": "one"}}}, 'the seed must be a whole number, not "one"'),
        ({"a": {**entry(forget__fb=1), "config": {"scoring": "both"}}}, "there is no scoring 'both'"),
        ({"a": {"stages": {}}}, "'stages' must have a list of stages"),
        ({"a": {"stages": {"corrected": [{"index": 0}]}}}, "not a stage of a run"),
        ({"a": {"stages": {"corrected": [{"index": "x", "scores": {}, "signals": {}}]}}}, "not a whole number"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(value: Any, message: str, tmp_path: Path) -> None:
    path = written(tmp_path / "r.json", value)
    with pytest.raises(UserError) as error:
        read_runs(path)
    assert message in str(error.value)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("part", ["task", "data"])
@pytest.mark.parametrize("value", [None, 3, "x", [], {"objective": 3, "training_module": []}])
def test_a_config_of_another_form_has_no_hook_layer(tmp_path: Path, part: str, value: Any) -> None:
    path = write_runs([record(points((80, 90), (20, 60)))], tmp_path / "r.json")
    entries = json.loads(path.read_text())
    entries["unlearning_atu-Japan-seed0"]["run_config"][part] = value
    runs = read_runs(written(path, entries))
    rule = Rule(kind="last")
    study = build_study(Collection(runs=tuple(runs)), rule=rule, scoring="corrected", names={})
    assert "unlearning_atu-Japan-seed0" in as_csv(run_table(study))


def test_a_number_changed_beside_its_stage_is_refused(tmp_path: Path) -> None:
    path = write_runs([record(points((80, 90), (20, 60)))], tmp_path / "r.json")
    value = json.loads(path.read_text())
    value["unlearning_atu-Japan-seed0"]["metrics"]["forget/all"] = 2
    with pytest.raises(UserError, match="differ in 'forget/all'"):
        read_runs(written(path, value))


def test_two_runs_of_one_name_cannot_be_in_a_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Two runs are called 'x'"):
        write_runs([record(points((1, 1)), name="x")] * 2, tmp_path / "r.json")
    assert not any(tmp_path.iterdir())


def test_a_missing_file_and_one_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no file"):
        read_runs(tmp_path / "nothing.json")
    (tmp_path / "r.json").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not UTF-8 text"):
        read_runs(tmp_path / "r.json")
