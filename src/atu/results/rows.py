"""Records as JSON rows and back; NaN, which JSON has no word for, is null there."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atu.errors import UserError
from atu.records import Answer, AttackRow, Score, StageResult
from atu.results.files import read_json, read_jsonl


def to_row(record: Answer | AttackRow | Score | StageResult) -> dict[str, Any]:
    """A record as a JSON object; NaN and infinity are null, read back as NaN."""

    def finite(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: finite(item) for key, item in value.items()}
        return None if isinstance(value, float) and not math.isfinite(value) else value

    row: dict[str, Any] = finite(dataclasses.asdict(record))
    return row


def read_stage(folder: Path) -> StageResult:
    """The stage kept in `stage.json` and `scores.json` of a folder; a broken one raises UserError."""
    stage, blocks = read_json(folder / "stage.json"), read_json(folder / "scores.json")
    try:
        scores = {name: Score(**_numbers(score)) for name, score in blocks["corrected"].items()}
        return StageResult(**stage | {"scores": scores, "signals": _numbers(stage["signals"])})
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{folder} is not a stage of a run: {error}.") from error


def read_answers(path: Path) -> list[Answer]:
    """The answers of a JSON lines file; a broken row raises UserError with its line."""
    return [_answer(row, path, number) for number, row in enumerate(read_jsonl(path), start=1)]


def read_attacks(path: Path) -> list[AttackRow]:
    """The rows of an `attacks.json`; a broken file raises UserError."""
    try:
        return [AttackRow(**row | {"score": Score(**_numbers(row["score"]))}) for row in read_json(path)]
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path} holds no rows of attacks: {error}.") from error


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


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _number(value) for name, value in values.items()}
