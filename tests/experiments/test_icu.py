"""In-context unlearning as a reference: the reference model with the request, beside itself without."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from workplace import Workplace

from atu.config import RunConfig


@pytest.fixture
def icu(scripts: None, workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, asking the tiny model of the workplace its probes."""
    module = importlib.import_module("icu")

    def composed(overrides: Sequence[str]) -> RunConfig:
        assert "unlearning_target=Japan" in overrides
        return workplace.config()

    monkeypatch.setattr(module, "compose_run", composed)
    monkeypatch.setattr(module, "RESULTS", tmp_path / "icu.json")
    monkeypatch.setattr("sys.argv", ["icu.py"])
    return module


def test_the_same_model_is_asked_with_and_without_the_request(icu: ModuleType) -> None:
    row = icu.ask(icu.BUILTIN, "Japan")
    (after,) = row["curve"]
    assert row["method"] == "icu"
    assert {"forget/all", "neighbor/all", "utility/gen", "degenerate/forget"} <= row["before"].keys()
    assert {*row["before"], "minutes"} == set(after)


def test_a_concept_that_was_asked_about_is_not_asked_again(
    icu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def ask(testbed: object, concept: str) -> dict[str, Any]:
        asked.append(concept)
        point = {"forget/all": 70.0, "neighbor/all": 60.0}
        return {"method": "icu", "concept": concept, "seed": 0, "before": point, "curve": [{**point, "minutes": 0.0}]}

    (tmp_path / "icu.json").write_text(json.dumps([ask(None, "Japan"), ask(None, "1_Stephen_King")]))
    asked.clear()
    monkeypatch.setattr(icu, "ask", ask)
    icu.main()
    others = [concept for concept in icu.BUILTIN.concepts if concept != "Japan"]
    assert asked == others
    kept = [row["concept"] for row in json.loads((tmp_path / "icu.json").read_text())]
    assert kept == [*icu.BUILTIN.concepts, "1_Stephen_King"]
    printed = capsys.readouterr().out
    assert "| Japan | icu | 1 | 70 → 70 | 60 → 60 |" in printed
    assert "King" not in printed
