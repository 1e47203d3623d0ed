"""When a job has ended, and what is shown of it until then."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Mapping

import pytest

from atu.config import config_hash, to_mapping
from atu.runs.opening import open_run
from atu.runs.run_folder import RunFolder
from atu.sweep.job import JobEnd
from atu.sweep.plan import PlannedJob
from atu.sweep.queue import QueueState, parse_squeue
from atu.sweep.submit import Submitted
from atu.sweep.watch import Row, pause, place, watch

from .conftest import is_sprung, leave


def begin(job: PlannedJob, stage: str) -> RunFolder:
    """The folder of a run that a process is or was in."""
    assert job.root is not None
    assert job.config is not None
    folder = open_run(job.root, to_mapping(job.config), config_hash(job.config))
    folder.set_status("running", stage, "")
    assert folder.lock is not None
    folder.lock.release()
    return folder


def test_jobs_end_by_their_own_word(jobs: list[PlannedJob], submitted: list[Submitted]) -> None:
    leave(submitted[0], JobEnd(state="done"))
    leave(submitted[1], JobEnd(state="failed", message="There is no file x."))
    shown: list[Mapping[int, Row]] = []
    both = {0: (jobs[0], submitted[0]), 1: (jobs[1], submitted[1])}
    # SLURM calls a job completed whether its run failed or not.
    ends = watch(both, lambda ids: parse_squeue("7_0|COMPLETED|None\n7_1|COMPLETED|None"), shown.append)
    assert ends == {0: JobEnd(state="done"), 1: JobEnd(state="failed", message="There is no file x.")}
    assert shown == [
        {
            0: Row(name="Japan", job_id="7_0", state="done", place="", problem=""),
            1: Row(name="Human_Heart", job_id="7_1", state="failed", place="", problem="There is no file x."),
        }
    ]


def test_a_job_that_never_began_the_run(jobs: list[PlannedJob], submitted: list[Submitted]) -> None:
    leave(submitted[0], "Traceback (most recent call last):\n  ...\nModuleNotFoundError: No module named 'atu'\n")
    ends = watch({0: (jobs[0], submitted[0])}, lambda ids: {}, lambda rows: None)
    message = f"ModuleNotFoundError: No module named 'atu' (see {submitted[0].folder})"
    assert ends == {0: JobEnd(state="failed", message=message)}


def test_no_pickle_in_a_folder_that_anybody_may_have_written_is_opened(submitted: list[Submitted]) -> None:
    leave(submitted[0], JobEnd(state="done"))
    assert submitted[0].read_end() == JobEnd(state="done")
    leave(submitted[1], "")
    message = f"it ended without a word (see {submitted[1].folder})"
    assert submitted[1].read_end() == JobEnd(state="failed", message=message)
    assert not any(map(is_sprung, submitted))
    pickle.loads((submitted[1].folder / "7_1_0_result.pkl").read_bytes())  # it would have run code
    assert is_sprung(submitted[1])


@pytest.mark.parametrize("word", ['{"state": "done"}', '{"state": "great", "message": ""}', "[]", "{"])
def test_a_word_that_is_none_is_named(submitted: list[Submitted], word: str) -> None:
    (submitted[0].folder / "7_0_end.json").write_text(word)
    end = submitted[0].read_end()
    assert end is not None
    assert end.state == "failed"
    assert "7_0_end.json" in end.message


def test_a_job_that_was_killed_is_told_in_its_folder(jobs: list[PlannedJob], submitted: list[Submitted]) -> None:
    folder = begin(jobs[0], "02-unlearn")
    ends = watch(
        {0: (jobs[0], submitted[0])},
        lambda ids: parse_squeue("7_0|OUT_OF_MEMORY|OutOfMemory"),
        lambda rows: None,
        grace=0.0,
    )
    message = (
        f"its job 7_0 ended as out of memory; the same command resumes where it stopped (see {submitted[0].folder})"
    )
    assert ends == {0: JobEnd(state="failed", message=message)}
    status = folder.read_status()
    assert (status["state"], status["stage"], status["message"]) == ("interrupted", "02-unlearn", message)


def test_a_job_that_vanished_before_it_began(jobs: list[PlannedJob], submitted: list[Submitted]) -> None:
    ends = watch({0: (jobs[0], submitted[0])}, lambda ids: {}, lambda rows: None, grace=0.0)
    assert ends[0].message == (
        f"its job 7_0 left the queue; the same command resumes where it stopped (see {submitted[0].folder})"
    )
    assert jobs[0].root is not None
    assert not jobs[0].root.exists()


def test_a_job_that_is_queued_again_has_not_ended(jobs: list[PlannedJob], submitted: list[Submitted]) -> None:
    def story() -> Iterator[Mapping[str, QueueState] | None]:
        yield parse_squeue("7_0|TIMEOUT|TimeLimit")  # for a moment, before it is in the queue again
        yield None  # SLURM does not answer
        yield parse_squeue("7_0|PENDING|BeginTime")
        leave(submitted[0], JobEnd(state="done"))
        yield {}  # SLURM has forgotten it

    answers, shown = story(), list[tuple[str, str]]()
    ends = watch(
        {0: (jobs[0], submitted[0])},
        lambda ids: next(answers),
        lambda rows: shown.append((rows[0].state, rows[0].problem)),
        grace=10.0,
    )
    assert ends == {0: JobEnd(state="done")}
    assert shown == [
        ("timeout", ""),
        ("timeout", "the queue does not answer"),
        ("pending (BeginTime)", ""),
        ("done", ""),
    ]


def test_the_place_is_that_of_the_last_whole_row(jobs: list[PlannedJob]) -> None:
    assert place(jobs[0]) == ""
    folder = begin(jobs[0], "01-align")
    assert place(jobs[0]) == "01-align"
    rows = [json.dumps({"step": step, "stage": 1, "name": "train/loss", "value": 0.5}) for step in range(1, 200)]
    folder.metrics_path.write_text("\n".join(rows) + '\n{"step": 2000, "sta')
    assert jobs[0].config is not None
    total = sum(stage.steps for stage in jobs[0].config.task.stages)
    assert place(jobs[0]) == f"01-align, step 199 of {total}"


def test_looks_become_rarer() -> None:
    # Every second at first, a tenth of the time that has passed, and four times a minute in the end.
    assert [pause(seconds) for seconds in (0.0, 50.0, 3600.0)] == [1.0, 5.0, 15.0]
