"""The rows of a run for trackers: the same ones, in the same order, whoever makes them."""

from __future__ import annotations

import math

from atu.records import Score, StageResult
from atu.runs.history import HistoryRow, history, step_rows


def metric(step: int, stage: int, name: str, value: float) -> dict[str, object]:
    return {"step": step, "stage": stage, "name": name, "value": value}


def stage(index: int, **scores: float) -> StageResult:
    kept = {name: Score(value=value, n=4, low=0.0, high=100.0) for name, value in scores.items()}
    return StageResult(index=index, kind="unlearn", label=f"{index:02d}-unlearn", scores=kept, seconds=1.0)


def test_metrics_of_one_step_are_one_row() -> None:
    rows = [
        metric(1, 1, "align/loss", 0.9), metric(1, 1, "align/lr", 0.1), metric(2, 1, "align/loss", 0.8),
        metric(2, 2, "train/loss", 0.7),
    ]  # fmt: skip
    assert list(step_rows(rows)) == [
        HistoryRow(step=1, stage=1, metrics={"align/loss": 0.9, "align/lr": 0.1}),
        HistoryRow(step=2, stage=1, metrics={"align/loss": 0.8}),
        HistoryRow(step=2, stage=2, metrics={"train/loss": 0.7}),
    ]


def test_a_stage_comes_after_its_steps_and_keeps_the_last_step_number() -> None:
    before, after = {"corrected": stage(0)}, {"corrected": stage(2)}
    rows = history([metric(1, 1, "align/loss", 0.9), metric(5, 2, "train/loss", 0.7)], {0: before, 2: after})
    assert [(row.stage, row.step, bool(row.results)) for row in rows] == [
        (0, 0, True), (1, 1, False), (2, 5, False), (2, 5, True)
    ]  # fmt: skip
    assert rows[-1].results == after


def test_scores_are_named_by_their_block_and_a_missing_one_is_a_gap() -> None:
    row = HistoryRow(
        step=5, stage=2, results={"corrected": stage(2, fb=25.0, qa=math.nan), "released": stage(2, fb=30.0)}
    )
    assert row.values == {"corrected/fb": 25.0, "report/fb": 30.0}
