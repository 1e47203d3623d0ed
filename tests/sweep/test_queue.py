"""SLURM's own words about jobs."""

from __future__ import annotations

import pytest

from atu.sweep.queue import QueueState, parse_squeue, slurm_states


def test_states_of_jobs() -> None:
    # As squeue of SLURM 22.05 wrote them, of a job that waits, one that runs, one that was queued again, and others.
    text = "7_0|PENDING|Resources\n7_1|RUNNING|None\n7_2|PENDING|BeginTime\n8|OUT_OF_MEMORY|OutOfMemory\n"
    states = parse_squeue(text)
    assert {key: str(state) for key, state in states.items()} == {
        "7_0": "pending (Resources)",
        "7_1": "running",
        "7_2": "pending (BeginTime)",
        "8": "out of memory",
    }
    assert [key for key, state in states.items() if state.is_final] == ["8"]


def test_a_queue_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert slurm_states(["7_0"]) is None
    assert slurm_states([]) == {}


def test_a_state_of_one_word() -> None:
    assert str(QueueState(word="NODE_FAIL", is_final=True)) == "node fail"
