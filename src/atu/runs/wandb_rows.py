"""How a run's history looks in wandb: written by the tracker, read back by the source of reports."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from atu.records import Score, Scoring, StageKind, StageResult
from atu.runs.history import BLOCKS, HistoryRow
from atu.runs.rows import stage_of, to_row

RECORD = "stage/record"
"""Key of a finished stage as JSON text: all of it, where `report/...` and `corrected/...` are values for charts."""
MANIFEST = "manifest"
"""Key of the run's manifest among the keys of its config."""
STAGE_NUMBER = "report/stage_number"
"""Key of the original project, in the same row as its scores."""


def to_wandb(row: HistoryRow) -> dict[str, Any]:
    """A row as `wandb.Run.log` takes it."""
    logged: dict[str, Any] = {"step": row.step, "stage": row.stage, **row.values}
    if row.results:
        logged["stage_name"] = row.results["corrected"].label
        logged[RECORD] = json.dumps({scoring: to_row(result) for scoring, result in row.results.items()})
    if "released" in row.results:
        logged[STAGE_NUMBER] = row.stage
    return logged


def read_stages(
    rows: Iterable[Mapping[str, Any]], *, begins_with_before: bool
) -> dict[Scoring, tuple[StageResult, ...]]:
    """The stages in a history, whether this project logged it or the original one.

    Args:
        rows: in the order logged.
        begins_with_before: whether the original project scored the reference model first.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: a record of a stage is broken.
    """
    found = [row for row in rows if RECORD in row or STAGE_NUMBER in row]
    records = [json.loads(row[RECORD]) for row in found if RECORD in row]
    if not records:
        return _stages_of_original(found, begins_with_before)
    corrected = {record["corrected"]["index"]: stage_of(record["corrected"]) for record in records}
    released = {record["released"]["index"]: stage_of(record["released"]) for record in records if "released" in record}
    stages: dict[Scoring, tuple[StageResult, ...]] = {
        "corrected": tuple(corrected[index] for index in sorted(corrected))
    }
    if released:
        stages["released"] = tuple(
            released.get(stage.index, replace(stage, scores={})) for stage in stages["corrected"]
        )
    return stages


def _stages_of_original(
    rows: Iterable[Mapping[str, Any]], begins_with_before: bool
) -> dict[Scoring, tuple[StageResult, ...]]:
    """The original logs values without n and interval, and for GA and NPO the stage number 0 each time."""
    stages: list[StageResult] = []
    for row in rows:
        number = int(_value(row[STAGE_NUMBER]))
        index = number if not stages else max(number, stages[-1].index + 1)
        if not stages and not begins_with_before:
            index = max(number, 1)
        kind: StageKind = "before" if index == 0 else "unlearn"
        prefix = f"{BLOCKS['released']}/"
        values = {name.removeprefix(prefix): _value(value) for name, value in row.items() if name.startswith(prefix)}
        scores = {
            name: Score(value=value, n=0, low=math.nan, high=math.nan)
            for name, value in values.items()
            if name != "stage_number" and math.isfinite(value)
        }
        stages.append(StageResult(index=index, kind=kind, label=f"{index:02d}-{kind}", scores=scores, seconds=math.nan))
    return {"released": tuple(stages)} if stages else {}


def _value(value: object) -> float:
    """A number of a history; what JSON has no number for is text there, such as "NaN"."""
    return float(value) if isinstance(value, int | float | str) else math.nan
