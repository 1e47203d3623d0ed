"""Runs of a folder: what is read, what is left out and named, and how a user chooses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scored_runs import points, record, save_run

from atu.errors import UserError
from atu.report.collect import Collection, choose, read_local
from atu.runs.run_folder import RunFolder

CURVE = points((80, 90), (20, 60))


def test_a_run_is_read_with_both_scorings(tmp_path: Path) -> None:
    save_run(tmp_path / "runs", CURVE, seed=3, released=points((70, 80), (10, 50)))
    (run,) = read_local(tmp_path / "runs").runs
    assert (run.name, run.method, run.target, run.model) == (
        "unlearning_atu-Japan-seed3",
        "unlearning_atu",
        "Japan",
        "tiny",
    )
    assert (run.seed, run.state) == (3, "done")
    assert run.source == str(tmp_path / "runs" / "unlearning_atu-Japan-seed3")
    assert [stage.scores["forget/all"].value for stage in run.stages["corrected"]] == [80, 20]
    assert [stage.scores["forget/all"].value for stage in run.stages["released"]] == [70, 10]


def test_a_scoring_that_was_not_asked_for_is_not_there(tmp_path: Path) -> None:
    save_run(tmp_path, CURVE)
    (run,) = read_local(tmp_path).runs
    assert set(run.stages) == {"corrected"}


def test_runs_are_found_in_folders_below_and_a_run_itself_is_a_folder_of_one(tmp_path: Path) -> None:
    inner = save_run(tmp_path / "comparison", CURVE)
    save_run(tmp_path, CURVE, "unlearning_ga")
    (tmp_path / ".multirun" / "x" / "stages").mkdir(parents=True)
    (tmp_path / ".multirun" / "x" / "config.yaml").write_text("a: 1\n")
    names = [run.name for run in read_local(tmp_path).runs]
    assert names == ["comparison/unlearning_atu-Japan-seed0", "unlearning_ga-Japan-seed0"]
    assert [run.name for run in read_local(inner).runs] == ["unlearning_atu-Japan-seed0"]


def test_a_killed_run_without_a_word_is_interrupted(tmp_path: Path) -> None:
    folder = save_run(tmp_path, CURVE)
    (folder / "status.json").unlink()
    assert read_local(tmp_path).runs[0].state == "interrupted"


def test_a_broken_run_is_left_out_and_named(tmp_path: Path) -> None:
    save_run(tmp_path, CURVE)
    broken = save_run(tmp_path, CURVE, "unlearning_ga")
    scores = broken / "stages" / "01-unlearn" / "scores.json"
    scores.write_text(scores.read_text().replace('"value": 20', '"value": "twenty"', 1))
    collection = read_local(tmp_path)
    assert [run.method for run in collection.runs] == ["unlearning_atu"]
    again = "Put it back, or run the command of this run again, which measures anew what it can."
    assert collection.notes == (
        f"unlearning_ga-Japan-seed0 is left out: {scores} is damaged, or was edited: it differs from digests.json. "
        f"{again}",
    )
    # A run of an older version has no digests.
    (scores.parent / "digests.json").unlink()
    RunFolder(root=broken).set_status("done", "01-unlearn", "")
    assert read_local(tmp_path).notes == (
        f'unlearning_ga-Japan-seed0 is left out: {scores.parent} is not a stage of a run: "twenty" is not a number.',
    )


def test_a_file_that_was_cut_is_named(tmp_path: Path) -> None:
    folder = save_run(tmp_path, CURVE)
    scores = folder / "stages" / "01-unlearn" / "scores.json"
    scores.write_text(scores.read_text()[:40])
    with pytest.raises(
        UserError, match=r"No run in .* can be read\. unlearning_atu-Japan-seed0 is left out: .*scores\.json is damaged"
    ):
        read_local(tmp_path)


def test_a_config_without_its_keys_is_named(tmp_path: Path) -> None:
    folder = save_run(tmp_path, CURVE)
    (folder / "config.yaml").write_text("seed: 1\n")
    with pytest.raises(UserError, match=r"config\.yaml has no task\.name"):
        read_local(tmp_path)


def test_no_folder_and_no_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no folder"):
        read_local(tmp_path / "nothing")
    (tmp_path / "text").mkdir()
    (tmp_path / "results_data.json").write_text(json.dumps({}))
    with pytest.raises(UserError, match="holds no runs"):
        read_local(tmp_path)


def test_runs_of_the_same_name_are_both_kept_until_the_user_chooses() -> None:
    first, second = record(CURVE, name="a/x"), record(CURVE, name="b/x")
    both = Collection(runs=(first, second))
    assert choose(both, filters={}).runs == (first, second)
    assert choose(both, names=["x"], filters={}).runs == (first, second)
    assert choose(both, ids=["runs/b/x/"], filters={}).runs == (second,)
    assert choose(both, names=["a/x"], filters={}).runs == (first,)


def test_filters_keep_what_they_name() -> None:
    runs = tuple(
        record(CURVE, m, t, s) for m in ("unlearning_atu", "unlearning_ga") for t in ("A", "B") for s in (0, 1)
    )
    kept = choose(Collection(runs=runs), filters={"methods": ["unlearning_ga"], "targets": ["B"], "seeds": [1]}).runs
    assert [run.name for run in kept] == ["unlearning_ga-B-seed1"]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"names": ["unlearning_atu-Japan-seed1"]}, "There is no run 'unlearning_atu-Japan-seed1'. Did you mean"),
        ({"ids": ["runs/x"]}, "There is no run 'runs/x'."),
        ({"filters": {"targets": ["Japn"]}}, "No run has the target 'Japn'. Did you mean 'Japan'?"),
        ({"filters": {"seeds": []}}, "The filters leave no run."),
    ],
)
def test_a_choice_of_nothing_is_refused(choice: dict, message: str) -> None:
    with pytest.raises(UserError) as error:
        choose(Collection(runs=(record(CURVE),)), **{"filters": {}, **choice})
    assert str(error.value).startswith(message)
