"""Records as JSON rows and back; NaN, which JSON has no word for, is null there."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atu.errors import UserError
from atu.records import Answer, AttackRow, Score, Scoring, StageResult
from atu.storage.user_files import read_json, read_jsonl


def to_row(record: Answer | AttackRow | Score | StageResult) -> dict[str, Any]:
    """A record as a JSON object; NaN and infinity are null, read back as NaN."""

    def finite(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: finite(item) for key, item in value.items()}
        return None if isinstance(value, float) and not math.isfinite(value) else value

    row: dict[str, Any] = finite(dataclasses.asdict(record))
    return row


def read_stage(folder: Path, scoring: Scoring = "corrected") -> StageResult:
    """The stage kept in `stage.json` and `scores.json` of a folder; a broken one raises UserError.

    Every stage has a `corrected` block; a stage that was not scored by `released` rules has no scores of them.
    """
    stage, blocks = read_json(folder / "stage.json"), read_json(folder / "scores.json")
    try:
        block = blocks["corrected"] if scoring == "corrected" else blocks.get(scoring, {})
        return stage_of(stage | {"scores": block})
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{folder} is not a stage of a run: {error}.") from error


def stage_of(row: Mapping[str, Any]) -> StageResult:
    """The stage of a JSON object with its scores.

    Raises:
        AttributeError, KeyError, TypeError: the object is no stage, or holds text where a number belongs.
    """
    if not isinstance(row["index"], int):
        raise TypeError(f"index {row['index']!r} is not a whole number")
    scores = {name: Score(**_numbers(score)) for name, score in row["scores"].items()}
    return StageResult(**{**row, "scores": scores, "signals": _numbers(row["signals"])})


def read_answers(path: Path) -> list[Answer]:
    """The answers of a JSON lines file; a broken row raises UserError with its line."""
    return [_answer(row, path, number) for number, row in enumerate(read_jsonl(path), start=1)]


def _answer(row: dict[str, Any], path: Path, number: int) -> Answer:
    try:
        return Answer(
            **row
            | {
                "score": _number(row["score"]),
                "references": tuple(row["references"]),
                "correct": tuple(row.get("correct", ())),
                "values": _numbers(row["values"]),
            }
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path}, line {number} is not an answer: {error}.") from error


def _number(value: object) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{json.dumps(value, ensure_ascii=False)} is not a number")
    return value


def _numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _number(value) for name, value in values.items()}
