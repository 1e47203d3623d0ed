"""The folder of an evaluation: whose answers it holds, and what a killed process leaves in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from atu.errors import UserError
from atu.records import Answer, Judgement, Score
from atu.runs.evaluation_folder import EvaluationFolder, open_evaluation
from atu.runs.rows import read_answers

IDENTITY: dict[str, Any] = {
    "model": {"label": "tiny", "source": "/a", "sha256": "f" * 64, "dtype": "float32"},
    "benchmark": {"name": "builtin", "target": "Japan", "tasks": []},
    "before": None,
}


def judgement(text: str) -> Judgement:
    """Scores and answers that belong together: the score's n is the length of the text."""
    answer = Answer(probe_id="a", group="forget/qa", prompt="Who?", text=text, score=1.0, degenerate=False)
    return Judgement(scores={"forget/qa": Score(value=100.0, n=len(text), low=100.0, high=100.0)}, answers=[answer])


def assert_whole(root: Path) -> str | None:
    """The text that the folder holds, None where it holds no scores; what is there belongs together."""
    if not (root / "scores.json").exists():
        return None
    scores = json.loads((root / "scores.json").read_text())
    (answer,) = read_answers(root / "answers.corrected.jsonl")
    assert scores["corrected"]["forget/qa"]["n"] == len(answer.text)
    assert json.loads((root / "evaluation.json").read_text())["model"]["label"] == "tiny"
    return answer.text


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("calls", range(7))
def test_a_killed_process_leaves_nothing_that_does_not_belong_together(
    calls: int, is_first: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = EvaluationFolder(tmp_path)
    if not is_first:
        folder.write(IDENTITY, {"corrected": judgement("old")})
    left, replace = [calls], Path.replace

    def killed(path: Path, target: Path) -> Path:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", killed)
    if calls < 6:  # evaluation.json, the answers and scores.json, each written beside, then each put in its place
        with pytest.raises(KeyboardInterrupt):
            folder.write(IDENTITY, {"corrected": judgement("the new one")})
    else:
        folder.write(IDENTITY, {"corrected": judgement("the new one")})
    monkeypatch.undo()
    before = None if is_first else "old"
    assert assert_whole(tmp_path) == (before if calls < 3 else None if calls < 6 else "the new one")
    folder.write(IDENTITY, {"corrected": judgement("the new one")})
    assert assert_whole(tmp_path) == "the new one"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": {**IDENTITY["model"], "sha256": "0" * 64, "label": "big"}},
         "model.sha256: tiny (ffffffffffff...) → big (000000000000...)"),
        ({"benchmark": {**IDENTITY["benchmark"], "tasks": ["forget"]}}, 'benchmark.tasks: [] → ["forget"]'),
        ({"before": {"sha256": "0" * 64, "label": "base"}}, "before.sha256: null → base (000000000000...)"),
    ],
)  # fmt: skip
def test_what_differs_is_named(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    folder = EvaluationFolder(tmp_path)
    folder.write(IDENTITY, {"corrected": judgement("old")})
    with pytest.raises(UserError) as caught:
        folder.refuse_other({**IDENTITY, **change})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError):
        folder.write({**IDENTITY, **change}, {"corrected": judgement("new")})
    assert assert_whole(tmp_path) == "old"


def test_where_it_was_found_and_which_version_asked_make_no_other_evaluation(tmp_path: Path) -> None:
    folder = EvaluationFolder(tmp_path)
    folder.write(IDENTITY, {"corrected": judgement("old")})
    folder.refuse_other(
        {**IDENTITY, "model": {**IDENTITY["model"], "label": "moved", "source": "/b"}, "device": "cuda"}
    )
    folder.refuse_other({"benchmark": IDENTITY["benchmark"]})  # a part of it, before the model is loaded
    kept = json.loads((tmp_path / "evaluation.json").read_text())
    (tmp_path / "evaluation.json").write_text(json.dumps({**kept, "versions": {"torch": "0"}}))
    folder.refuse_other(IDENTITY)


def test_a_folder_of_which_nothing_came_is_removed_again(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), open_evaluation(tmp_path / "a" / "out"):
        raise ZeroDivisionError
    assert not (tmp_path / "a" / "out").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("kept")
    with open_evaluation(tmp_path / "mine"):
        pass
    assert (tmp_path / "mine" / "notes.txt").read_text() == "kept"


def test_two_processes_never_write_the_same_folder(tmp_path: Path) -> None:
    with (
        open_evaluation(tmp_path),
        pytest.raises(UserError, match="Another process is writing"),
        open_evaluation(tmp_path),
    ):
        pass
