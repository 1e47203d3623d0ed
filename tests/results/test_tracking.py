"""The metric log: rows are there at once, and a resumed run has none twice."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from atu.results.tracking import MetricLog


def test_row_is_in_the_file_at_once(tmp_path: Path) -> None:
    log = MetricLog(tmp_path / "metrics.jsonl")
    assert log.rows() == []
    log.log(12, 2, "train/loss", 0.5)
    assert log.path.read_text() == '{"step": 12, "stage": 2, "name": "train/loss", "value": 0.5}\n'


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_non_finite_value_is_refused(tmp_path: Path, value: float) -> None:
    log = MetricLog(tmp_path / "metrics.jsonl")
    with pytest.raises(ValueError, match=r"train/loss is .* at step 3 of stage 1"):
        log.log(3, 1, "train/loss", value)
    assert log.rows() == []


def test_rewind_drops_what_will_be_logged_again(tmp_path: Path) -> None:
    log = MetricLog(tmp_path / "metrics.jsonl")
    log.rewind(0)
    for step in range(1, 11):
        log.log(step, 1, "train/loss", 1 / step)
        log.log(step, 1, "train/lr", 0.1)
    whole = log.path.read_bytes()
    # Killed while it wrote step 11; the last checkpoint is of step 6.
    log.path.write_bytes(whole + b'{"step": 11, "sta')
    log.rewind(6)
    assert [row["step"] for row in log.rows()] == [step for step in range(1, 7) for _ in range(2)]
    for step in range(7, 11):
        log.log(step, 1, "train/loss", 1 / step)
        log.log(step, 1, "train/lr", 0.1)
    assert log.path.read_bytes() == whole
