"""Rows of `attacks.json`: what came back when an unlearned model was attacked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atu.errors import UserError
from atu.records import Score
from atu.results.files import read_json


@dataclass(frozen=True, kw_only=True)
class AttackRow:
    """One measurement of one attack; rows that share attack, setting and group make a curve over the steps."""

    attack: str
    """Such as `relearn` or `quantize`."""
    setting: str
    """What tells the attack's variants apart, such as `lora, lr 1e-4` or `int8`."""
    step: float | None
    """Optimizer steps, samples or whatever the attack counts; None where it has no steps."""
    group: str
    """Name of the score, such as `forget/all`."""
    score: Score
    degenerate: float | None
    """Share of degenerate answers, 0 to 1."""
    recovered: float | None
    """Share of the lost score that came back; None where that can't be measured."""


def read_attack_rows(path: Path) -> list[AttackRow]:
    """The rows of an `attacks.json`: a JSON list of objects with the fields of `AttackRow`.

    `score` is an object `{value, n, low, high}`; null stands for a number that is missing. No file, no rows.

    Raises:
        UserError: the file can't be read, or a row of it is none.
    """
    if not path.exists():
        return []
    rows = read_json(path)
    if not isinstance(rows, list):
        raise UserError(f"{path} holds no list of attack rows.")
    return [_attack_row(row, path, number) for number, row in enumerate(rows, start=1)]


def _attack_row(row: Any, path: Path, number: int) -> AttackRow:
    try:
        return AttackRow(
            attack=str(row["attack"]),
            setting=str(row["setting"]),
            step=_number(row.get("step")),
            group=str(row["group"]),
            score=_score(row["score"]),
            degenerate=_number(row.get("degenerate")),
            recovered=_number(row.get("recovered")),
        )
    except KeyError as error:
        raise UserError(f"{path}, row {number} is not an attack row: it has no {error}.") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{path}, row {number} is not an attack row: {error}.") from error


def _score(row: Mapping[str, Any]) -> Score:
    value, low, high = (_number(row.get(name)) for name in ("value", "low", "high"))
    missing = math.nan
    return Score(
        value=missing if value is None else value,
        n=int(row["n"]),
        low=missing if low is None else low,
        high=missing if high is None else high,
    )


def _number(value: Any) -> float | None:
    """A finite number, or None for null, NaN and infinity; text is refused."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value) if math.isfinite(value) else None
