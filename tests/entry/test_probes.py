"""`atu probes`: what it writes and says; what a model proposes is tested in tests/benchmarks/test_proposed.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from atu.benchmarks.own.proposed import Proposal
from atu.cli import app

PROPOSALS = [
    Proposal("Marie Curie", "Where was Marie Curie born?", "In Warsaw.", ("Warsaw",)),
    Proposal("Isaac Newton", "Where was Isaac Newton born?", "In England.", ("England",)),
]


def probes(model: Path, *more: str) -> Result:
    return CliRunner().invoke(app, ["probes", "Marie Curie", "--model", str(model), *more])


def test_the_questions_are_shown_and_kept(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, tuple[str, ...], int]] = []

    def propose(llm: object, target: object, *, num_neighbors: int, seed: int, progress: object) -> list[Proposal]:
        asked.append((target.name, target.neighbors, seed))  # type: ignore[attr-defined]
        return PROPOSALS

    monkeypatch.setattr("atu.benchmarks.own.proposed.propose", propose)
    out = tmp_path / "probes.jsonl"
    done = probes(tiny_folder, "--out", str(out), "--neighbors", "Isaac Newton, Lise Meitner", "--seed", "3")
    assert done.exit_code == 0, done.output
    assert asked == [("Marie Curie", ("Isaac Newton", "Lise Meitner"), 3)]
    assert "Where was Marie Curie born?  ->  Warsaw" in done.output
    assert "Isaac Newton" not in done.output.partition("1 questions about")[0]
    assert "will be known to within 98 points (with 100 questions: 10)" in done.output
    assert f"data=own unlearning_target=Marie_Curie data.probes_path={out}" in done.output
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [(row["group"], row["references"], row["answer"]) for row in rows] == [
        ("forget/qa", ["Warsaw"], "In Warsaw."),
        ("neighbor/qa", ["England"], "In England."),
    ]
    # What may hold the user's changes is not overwritten.
    out.write_text("mine", encoding="utf-8")
    again = probes(tiny_folder, "--out", str(out))
    assert (again.exit_code, "is there already" in again.output) == (2, True)
    assert out.read_text(encoding="utf-8") == "mine"


def test_a_model_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    refused = probes(tmp_path / "none", "--out", str(tmp_path / "probes.jsonl"))
    assert refused.exit_code == 2
    assert not any(tmp_path.iterdir())
