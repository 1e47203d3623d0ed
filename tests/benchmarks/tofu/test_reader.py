"""TOFU's files in the forms in which copies have them, and rows that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from atu.benchmarks.tofu.authors import author_names
from atu.benchmarks.tofu.files import FILES, SPLITS, Row, rows_sha256
from atu.benchmarks.tofu.reader import TofuData
from atu.errors import UserError

from .sample_files import NAMES, perturbed_rows, question_rows, write_rows

ROWS = question_rows("Ada Zorn", 4)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ROWS),
        json.dumps(ROWS, indent=2),
        "\n".join(json.dumps(row) for row in ROWS),
        f"{json.dumps(ROWS[:2])}\n{json.dumps(ROWS[2:])}\n",
        json.dumps([{"prompt": row["question"], "response": row["answer"]} for row in ROWS]),
    ],
    ids=["list", "indented", "lines", "lists on lines", "renamed columns"],
)
def test_forms(tmp_path: Path, text: str) -> None:
    (tmp_path / "forget01.json").write_text(text)
    rows = TofuData(tmp_path).rows("forget01")
    assert [(row.question, row.answer) for row in rows] == [(row["question"], row["answer"]) for row in ROWS]
    assert rows_sha256(rows) == rows_sha256([Row(question=str(r["question"]), answer=str(r["answer"])) for r in ROWS])


def test_what_a_row_has(tofu_dir: Path) -> None:
    data = TofuData(tofu_dir)
    row, fact = data.rows("forget01_perturbed")[1], data.rows("world_facts_perturbed")[1]
    assert (row.paraphrased_answer, row.perturbed_answers[4]) == ("Book 1 is by Ada Zorn.", "Song 14 is by Ada Zorn.")
    assert (fact.paraphrased_answer, fact.perturbed_answers) == ("", ("x", "y", "z"))
    assert data.rows("forget01")[0].perturbed_answers == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"answer": ""}, "'answer' must be a text that is not empty."),
        ({"answer": 3}, "'answer' must be a text that is not empty."),
        ({"question": None}, "'question' is missing. Is this TOFU's file?"),
        ({"paraphrased_answer": " "}, "'paraphrased_answer' must be a text that is not empty."),
        ({"perturbed_answer": ["x"]}, "'perturbed_answer' must be a list of 5 wrong answers."),
        ({"perturbed_answer": ["x", "", "x", "x", "x"]}, "'perturbed_answer' holds something that is no text"),
    ],
)
def test_broken_rows(tmp_path: Path, change: dict[str, object], words: str) -> None:
    rows = perturbed_rows("Ada Zorn", 2)
    write_rows(tmp_path / "forget01_perturbed.json", [rows[0], {**rows[1], **change}])
    with pytest.raises(UserError) as caught:
        TofuData(tmp_path).rows("forget01_perturbed")
    assert str(caught.value).startswith(f"{tmp_path}/forget01_perturbed.json, row 1: {words}")


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"There is no folder .*nowhere with TOFU's files\. Fetch it with `atu data tofu`"
    ):
        TofuData(tmp_path / "nowhere")
    with pytest.raises(UserError, match="No file of TOFU in "):
        TofuData(tmp_path)
    (tmp_path / "full.json").write_text("")
    data = TofuData(tmp_path)
    with pytest.raises(UserError, match=r"has no forget10\.json\. Fetch it with"):
        data.rows("forget10")
    with pytest.raises(UserError, match=r"full\.json is empty"):
        data.rows("full")
    (tmp_path / "full.json").write_text("[3]")
    with pytest.raises(UserError, match="row 0: expected an object with a question and an answer"):
        TofuData(tmp_path).rows("full")


def test_names_of_authors(tofu_dir: Path) -> None:
    data = TofuData(tofu_dir)
    assert author_names(data.rows("retain99")) == [name for name in NAMES[2:] for _ in range(20)]
    assert author_names([Row(question="who?", answer="nobody")]) == ["author 1"]


def test_the_real_files(shared_dir: Path) -> None:
    if not (shared_dir / "tofu").is_dir():
        pytest.skip(f"no TOFU files at {shared_dir / 'tofu'}")
    data = TofuData(shared_dir / "tofu")
    for file in FILES.values():
        rows = data.rows(file.name)
        assert (len(rows), rows_sha256(rows)) == (file.rows, file.sha256)
    full = data.rows("full")
    for split in SPLITS.values():
        count = 20 * split.authors
        assert data.rows(split.forget) == full[-count:]
        assert data.rows(split.retain) == full[:-count]
        assert len(set(author_names(data.rows(split.forget)))) == split.authors
        asked = data.rows(f"{split.forget}_perturbed")
        assert [(row.question, row.answer) for row in asked] == [(row.question, row.answer) for row in full[-count:]]
    assert list(dict.fromkeys(author_names(data.rows("forget01")))) == ["Basil Mahfouz Al-Kuwaiti", "Nikolai Abilov"]
