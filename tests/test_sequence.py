"""Requests one after another, with tiny models: every model is asked about every concept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import pytest
from workplace import Workplace

from atu.cli import app
from atu.entry.compose import compose_run
from atu.errors import UserError
from atu.run import run
from atu.runs.rows import read_answers
from atu.runs.run_folder import RunFolder
from atu.sequence import check_sequence

SHORT = "task.stages=[{type: training, steps: 1}, {type: unlearning, steps: 2}]"
FIRST, SECOND = "Zorblatt", "Yolk"


def request(workplace: Workplace, name: str, target: str, *more: str) -> RunFolder:
    """A tiny run that is asked to forget `target`."""
    given = dict(
        word.partition("=")[::2]
        for word in (*workplace.overrides(), f"name={name}", f"unlearning_target={target}", SHORT, *more)
    )
    folder = run(compose_run([f"{key}={value}" for key, value in given.items()]))
    folder.close()
    return folder


@pytest.fixture
def two_runs(workplace: Workplace) -> list[Path]:
    """Zorblatt is forgotten, then Yolk; every second question is about Yolk."""
    path = workplace.root / "probes.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for number, row in enumerate(rows):
        if row["group"].startswith("forget/"):
            row["target"] = (FIRST, SECOND)[number % 2]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    one = request(workplace, "one", FIRST)
    two = request(workplace, "two", SECOND, f"pre_trained_llm={one.model_dir}")
    return [one.root, two.root]


def sequence(runs: Sequence[Path], out: Path) -> None:
    app(["sequence", *map(str, runs), "--out", str(out), "--device", "cpu"], standalone_mode=False)


def test_all_concepts_are_asked_after_each_request(
    two_runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sequence"
    sequence(two_runs, out)
    rows = {(row["step"], row["target"]): row for row in json.loads((out / "sequence.json").read_text())}
    assert {step for step, _ in rows} == {0, 1, 2}
    assert [rows[step, FIRST]["requested"] for step in range(3)] == [[], [FIRST], [SECOND]]
    for place, name in enumerate(("before", "one", "two")):
        answers = read_answers(out / f"{place}-{name}" / "answers.corrected.jsonl")
        for target in (FIRST, SECOND):
            own = [a.score for a in answers if a.group.startswith("forget/") and a.probe_id.split("/")[1] == target]
            score = rows[place, target]["scores"]["forget/all"]
            assert score["n"] == len(own) > 0
            assert score["value"] == pytest.approx(100 * fmean(own))
    # What the second run itself says of its concept after its last stage is what the table says.
    own_words = RunFolder(root=two_runs[1]).read_stages()[-1].scores["forget/all"]
    assert rows[2, SECOND]["scores"]["forget/all"]["value"] == own_words.value
    table = (out / "sequence.md").read_text()
    assert "| concept | before | after Zorblatt | after Yolk |" in table
    shown = capsys.readouterr().out
    assert "What is known of each concept (low is forgotten" in shown
    with pytest.raises(SystemExit):
        sequence(two_runs[::-1], out)
    assert capsys.readouterr().err.startswith(f"error: The run {two_runs[0]} began with ")
    one, two = (RunFolder(root=root) for root in two_runs)
    with pytest.raises(UserError, match=r"Name at least two runs"):
        check_sequence([one])
    config = two.read_config()
    two.write_config({**config, "data": {**config["data"], "icu": True}}, "x")
    with pytest.raises(SystemExit):
        sequence(two_runs, out)
    assert f"The runs {one.root} and {two.root} do not ask alike about Yolk" in capsys.readouterr().err
    (one.model_dir / "config.json").unlink()
    with pytest.raises(UserError, match=rf"The run {one.root} has no model: it is not finished"):
        check_sequence([one, two])
