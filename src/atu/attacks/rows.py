"""Rows of `attacks.json`: what came back when an unlearned model was attacked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atu.errors import UserError
from atu.records import AttackRow, Score
from atu.storage.digests import unsealed
from atu.storage.user_files import read_json

_NUMBERS = ("seed", "step", "degenerate", "recovered", "recovered_low", "recovered_high")


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
        row = unsealed(row)
        numbers = {name: _number(row[name]) for name in _NUMBERS}
        return AttackRow(**{**row, "score": _score(row["score"]), **numbers})
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
    """A finite number as it is, or None for null, NaN and infinity; text is refused."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return value if math.isfinite(value) else None
