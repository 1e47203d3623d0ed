"""What an earlier command left in SLURM's queue; tests/slurm has the rest, with a real queue."""

from __future__ import annotations

from pathlib import Path

import pytest

from atu.errors import UserError
from atu.sweep.ledger import queued_jobs, write_ledger
from atu.sweep.plan import PlannedJob
from atu.sweep.submit import Submitted


@pytest.mark.parametrize("text", ['{"job": "7_0"}', '[{"job": 7}]', "[1]", "{"])
def test_a_ledger_that_is_none_is_named(jobs: list[PlannedJob], tmp_path: Path, text: str) -> None:
    (tmp_path / "2026-01-01").mkdir()
    (tmp_path / "2026-01-01" / "jobs.json").write_text(text)
    with pytest.raises(UserError, match=r"2026-01-01/jobs\.json"):
        queued_jobs(jobs, tmp_path)


def test_while_slurm_does_not_answer_no_run_is_submitted_twice(
    jobs: list[PlannedJob], submitted: list[Submitted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert queued_jobs(jobs, tmp_path) == ({}, {})  # nothing was ever submitted
    write_ledger(tmp_path / "2026-01-01", jobs[:1], {0: submitted[0]})
    write_ledger(tmp_path / "2026-01-01", jobs[1:], {1: submitted[1]})
    with pytest.raises(UserError, match=r"^SLURM does not answer \(squeue\), and jobs of an earlier command may still"):
        queued_jobs(jobs[1:], tmp_path)
