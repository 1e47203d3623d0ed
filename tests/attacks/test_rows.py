"""Rows of attacks.json: read whole or refused with their number."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from atu.attacks.rows import read_attack_rows
from atu.errors import UserError

ROW: dict[str, Any] = {
    "attack": "relearn",
    "setting": "lora, lr 1e-4",
    "model": "unlearned",
    "seed": 0,
    "step": 20,
    "group": "forget/all",
    "score": {"value": 45.5, "n": 60, "low": 40.0, "high": 51.0},
    "degenerate": 0.02,
    "recovered": 0.4,
    "recovered_low": 0.1,
    "recovered_high": 0.6,
}


def write(path: Path, rows: object) -> Path:
    path.write_text(json.dumps(rows))
    return path


def test_a_row_is_read_and_null_is_missing(tmp_path: Path) -> None:
    bare = {**ROW, "step": None, "recovered": None, "score": {"value": None, "n": 0, "low": None, "high": None}}
    full, missing = read_attack_rows(write(tmp_path / "attacks.json", [ROW, bare]))
    assert (full.step, full.score.value, full.degenerate, full.recovered) == (20, 45.5, 0.02, 0.4)
    assert (missing.step, missing.recovered) == (None, None)
    assert math.isnan(missing.score.value)
    assert read_attack_rows(tmp_path / "none.json") == []


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({}, "holds no list of attack rows"),
        ([ROW, {**ROW, "recovered": "much"}], "row 2 is not an attack row: 'much' is no number"),
        ([{**ROW, "score": 3}], "row 1 is not an attack row"),
        ([{"attack": "relearn"}], "row 1 is not an attack row: it has no "),
        (["text"], "row 1 is not an attack row"),
    ],
)
def test_what_is_no_row_is_refused(tmp_path: Path, rows: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_attack_rows(write(tmp_path / "attacks.json", rows))
