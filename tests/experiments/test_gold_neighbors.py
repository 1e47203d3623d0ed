"""Which neighbors' answers hang on the person, from the answers of three models."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

from atu.records import Answer, Judgement, StageResult
from atu.runs.run_folder import RunFolder, write_evaluation

CONCEPT = "58_Rihanna"


def answers(neighbor: Sequence[float], forget: Sequence[float], nll: float = 0.0) -> list[Answer]:
    """Rows of these scores; in the first one the right answer of before costs `nll` nats per token more."""
    scores = [("neighbor/fb", score) for score in neighbor] + [("forget/qa", score) for score in forget]
    return [
        Answer(
            probe_id=f"rwku/A/{group}/{n}",
            group=group,
            prompt="",
            text="x",
            score=score,
            degenerate=False,
            values={"nll": 0.1 if n else 0.1 + nll},
        )
        for n, (group, score) in enumerate(scores)
    ]


BEFORE = answers([1.0, 0.5, 0.4, 1.0, 1.0], [1.0, 1.0])
AFTER = answers([1.0, 1.0, 1.0, 0.0, 0.6], [0.0, 1.0], nll=0.4)
GOLD = answers([1.0, 0.0, 1.0, 0.0, 1.0], [0.0, 0.9])


@pytest.fixture
def script(scripts: None, workplace_with_taught_model: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = importlib.import_module("gold_neighbors")
    root = workplace_with_taught_model
    monkeypatch.setattr(importlib.import_module("comparison"), "ROOT", root)
    monkeypatch.setattr(module, "RESULTS", root / "gold_neighbors.json")
    monkeypatch.setattr(module, "OUT", root / "gold-answers")
    monkeypatch.setattr(module, "make_references", lambda testbed: None)
    monkeypatch.setattr("sys.argv", ["gold_neighbors.py"])
    return module


def test_right_answers_are_parted_by_what_the_gold_model_knows(script: ModuleType) -> None:
    # Of five neighbors' answers four are right before, of these 0 and 4 with the gold model; 3 is lost.
    assert script.count(BEFORE, AFTER, GOLD, "neighbor") == {
        "known": {"before": 2, "after": 2, "nll_rise": 0.2},  # the mean of 0.4 and 0
        "unknown": {"before": 2, "after": 1, "nll_rise": 0.0},
    }
    assert script.count(BEFORE, AFTER, GOLD, "forget") == {
        "known": {"before": 1, "after": 1, "nll_rise": 0.0},
        "unknown": {"before": 1, "after": 0, "nll_rise": 0.0},
    }


def test_finished_runs_are_counted_and_a_persons_row_stays_without_its_run(
    script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    job = script.Job(script.CELEBS_GENERAL, "unlearning_npo", CONCEPT, 0)
    folder = RunFolder(root=job.folder)
    for index, said in enumerate((BEFORE, AFTER)):
        stage = StageResult(index=index, kind="unlearn", label=f"{index:02d}-unlearn", scores={}, seconds=0.0)
        folder.write_stage(stage, said)
    folder.set_status("done", "", "")
    write_evaluation(script.OUT / CONCEPT, {"corrected": Judgement(scores={}, answers=GOLD)})
    other = {"testbed": "celebs", "method": "unlearning_ga", "concept": "3_Bruce_Lee", "seed": 0}
    script.RESULTS.write_text(json.dumps([other]))

    with pytest.raises(SystemExit) as end:
        script.main()
    assert not end.value.code
    first, second = json.loads(script.RESULTS.read_text())
    assert first == other
    assert (second["concept"], second["neighbor"]["unknown"]) == (
        CONCEPT,
        {"before": 2, "after": 1, "nll_rise": 0.0},
    )
    shown = "| 2 of 2, × 1.22 | 1 of 2, × 1.00 | 1 of 1, × 1.00 | 0 of 1, × 1.00 |"  # e to the power of 0.2
    assert f"| celebs-2: Rihanna | unlearning_npo {shown}" in capsys.readouterr().out
