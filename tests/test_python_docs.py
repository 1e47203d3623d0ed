"""docs/python.md and the examples run as they stand, with the tiny model in the real one's place."""

from __future__ import annotations

import json
import re
import runpy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from workplace import Workplace

import atu

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "python.md"
# The probes of the tiny concept are too few for attacks that split them.
FEWER_ATTACKS = (('["relearn", "quantize"]', '["logit-lens"]'), ('["quantize", "phrasing"]', '["logit-lens"]'))


@pytest.fixture
def folder(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of the one run that `atu.unlearn` makes here, whatever it is given."""
    monkeypatch.chdir(workplace.root)
    keys = dict(override.partition("=")[::2] for override in workplace.overrides())
    unlearn: Callable[..., Any] = atu.unlearn

    def tiny_unlearn(_model: str, _concept: str, **_keys: object) -> atu.Run:
        found: atu.Run = unlearn(keys.pop("pre_trained_llm"), keys.pop("unlearning_target"), overrides=keys)
        return found

    monkeypatch.setattr(atu, "unlearn", tiny_unlearn, raising=False)
    return workplace.root / "runs/tiny"


def run_all(blocks: Sequence[str]) -> dict[str, Any]:
    """The names that the blocks leave, each run after those before it."""
    known: dict[str, Any] = {}
    for block in blocks:
        for words, fewer in FEWER_ATTACKS:
            block = block.replace(words, fewer)
        exec(block, known)
    return known


def test_the_blocks_run(folder: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    known = run_all(blocks)
    assert known["run"].folder == folder
    assert list(known["found"].answers["corrected"]["text"]) == list(known["run"].answers["text_after"])
    assert len(known["rows"]) > 0


def test_the_notebook_runs(folder: Path) -> None:
    notebook = json.loads((ROOT / "examples" / "quickstart.ipynb").read_text(encoding="utf-8"))
    assert not any(cell.get("outputs") for cell in notebook["cells"])  # what it showed once is no part of it
    known = run_all(["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"])
    assert known["run"].folder == folder
    assert isinstance(known["ask"]("What is the river?"), str)
    assert len(known["rows"]) > 0


def test_the_example_of_an_own_concept_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = ROOT / "examples" / "own_concept.py"
    monkeypatch.setattr(sys, "argv", [str(path), "Zorblatt", "a river"])
    runpy.run_path(str(path), run_name="__main__")
    said = capsys.readouterr().out
    assert "forget/all" in said
    assert f"model:  {folder / 'model'}" in said
