"""The page as a file: self-contained, escaped, and honest about unfinished runs."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pages import assert_self_contained, read_page

from atu.errors import UserError
from atu.records import Answer
from atu.report.page import write_report
from atu.report.page_data import MAX_POINTS, page_data
from atu.report.page_template import render_page, script_json
from atu.runs.run_folder import RunFolder

MakeRun = Callable[..., RunFolder]


def test_nothing_is_loaded_from_outside(make_run: MakeRun) -> None:
    assert_self_contained(write_report(make_run()))


def test_model_output_stays_data(make_run: MakeRun, hostile: Callable[[RunFolder], None]) -> None:
    run = make_run(num_answers=3)
    hostile(run)
    path = write_report(run)
    text = path.read_text(encoding="utf-8")
    assert "<script>alert(1)" not in text
    assert "\u2028" not in text
    page = read_page(path)
    assert [kind for kind, _ in page.scripts] == ["application/json", ""]
    answers = page.data["answers"]
    assert isinstance(answers, dict)
    assert [row[6][0] for row in answers["rows"]] == [answer.text for answer in run.read_answers("04-unlearn")]


def test_text_of_config_and_status_is_escaped(make_run: MakeRun) -> None:
    run = make_run(num_answers=3, state="failed", message="</p><script>alert(2)</script>")
    run.config_path.write_text("a: '<img src=x onerror=alert(3)>'\n")
    run.write_manifest({"target": "<b>bold</b>", "versions": {"<u>": "1"}})
    page = read_page(write_report(run))
    assert not {"img", "u"} & {tag for tag, _ in page.elements}
    assert "<b>bold</b>" in page.text
    assert "</p><script>alert(2)</script>" in page.text
    assert "<img src=x onerror=alert(3)>" in page.text


def test_script_json_escapes_what_could_end_the_script() -> None:
    text = script_json({"a": "</script><!--&\u2028\u2029"})
    assert text == '{"a":"\\u003c/script\\u003e\\u003c!--\\u0026\\u2028\\u2029"}'
    assert json.loads(text) == {"a": "</script><!--&\u2028\u2029"}


def test_finished_run_shows_verdict_table_and_set_up(make_run: MakeRun) -> None:
    page = read_page(write_report(make_run()))
    assert "Forgotten, and the rest kept." in page.text
    assert re.search(r"Of \d+ questions about it that the model answered before, it still answers \d+", page.text)
    assert "已遗忘，其余知识保留" in page.text
    for part in (
        "SmolLM2-135M-Instruct",
        "Masked self-distillation",
        "04-unlearn",
        "unlearning_target",
        "5f2c9e1ab03d",
    ):
        assert part in page.text
    assert "How it can mislead:" in page.text
    assert "not ended" not in page.text


@pytest.mark.parametrize(
    ("num_stages", "state", "words"),
    [
        (0, "failed", ["This run failed", "No stage was evaluated yet", "No answers were kept yet"]),
        (1, "running", ["has not ended, or was killed", "Only the reference model was evaluated"]),
        (2, "interrupted", ["was interrupted", "Only the reference model was evaluated"]),
        (3, "failed", ["This run failed", "Partly forgotten"]),
    ],
)
def test_unfinished_run_says_so(make_run: MakeRun, num_stages: int, state: str, words: list[str]) -> None:
    page = read_page(write_report(make_run(num_stages=num_stages, state=state, message="The loss is NaN.")))
    for part in [*words, "The loss is NaN."]:
        assert part in page.text


def test_run_without_an_evaluation_before_says_so(make_run: MakeRun) -> None:
    run = make_run()
    shutil.rmtree(run.stage_dir("00-before"))
    run.set_status("done", "", "")
    page = read_page(write_report(run))
    assert "The reference model was not evaluated" in page.text


def test_text_that_is_only_scored_is_neither_right_nor_wrong() -> None:
    answer = Answer(
        probe_id="a",
        group="mia/fm",
        prompt="A text.",
        text="",
        score=0.0,
        degenerate=True,
        values={"loss": 2.25},
    )
    (row,) = page_data([], [answer], [], [])["answers"]["rows"]
    assert row[5] == ["", 0.0, None, False, None, 2.25, None]


def test_run_cut_off_in_the_middle_has_a_page(make_run: MakeRun) -> None:
    run = make_run(num_stages=3)
    run.manifest_path.unlink()
    run.status_path.unlink()
    with run.metrics_path.open("a") as file:
        file.write('{"step": 9')
    page = read_page(write_report(run))
    assert "left no status" in page.text
    assert "William Shakespeare" in page.text


def test_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not a run folder: it has no config\.yaml"):
        write_report(RunFolder(root=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_long_curves_are_averaged_and_broken_between_stages() -> None:
    rows = [{"step": s, "stage": 1 + (s > 1000), "name": "train/loss", "value": float(s)} for s in range(1, 2001)]
    (panel,) = page_data([], [], [], rows)["panels"]
    first, second = panel["curves"][0]["segments"]
    # 120 points a stage at most: buckets of ceil(1000 / 120) = 9 steps, so 112 of them.
    assert len(first) == len(second) == 112
    assert len(first) + len(second) <= MAX_POINTS
    assert first[0] == [9, 5.0, 1.0, 9.0]
    assert (first[-1][0], second[0][0]) == (1000, 1009)


def test_half_of_a_surrogate_pair_does_not_keep_the_page_from_being_written(make_run: MakeRun) -> None:
    """A file name that is no UTF-8 comes to Python with such halves."""
    run = make_run(num_answers=3)
    run.write_manifest({"target": "a"})
    page = read_page(write_report(run))
    assert page.text
    text = render_page(
        "index.html.j2", title="index_title", sections=(), scripts=(), styles=(), data={"name": "a\udcff"},
        has_scores=False, counts={"runs": 1, "methods": 1, "targets": 1, "models": 1}, unfinished={},
    )  # fmt: skip
    assert '"name":"a?"' in text
