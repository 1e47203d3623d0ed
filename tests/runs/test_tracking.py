"""The metric log: rows are there at once, and a resumed run has none twice. Trackers follow it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from atu.errors import UserError
from atu.runs.history import HistoryRow, history, stage_results
from atu.runs.run_folder import RunFolder, RunState
from atu.runs.tracking import MetricLog, Tracker
from atu.storage.digests import sealed

MakeRun = Callable[..., RunFolder]


class Memory:
    """A sink that keeps what it is sent, and fails from some row on."""

    def __init__(self, fails_at: float = math.inf) -> None:
        self.rows: dict[int, HistoryRow] = {}
        self.state: RunState | None = None
        self.fails_at = fails_at

    def write(self, index: int, row: HistoryRow) -> None:
        if index >= self.fails_at:
            raise ConnectionResetError("Connection lost")
        self.rows.setdefault(index, row)

    def finish(self, folder: RunFolder, state: RunState) -> None:
        self.state = state


def rows_of(folder: RunFolder) -> dict[int, HistoryRow]:
    return dict(enumerate(history(MetricLog(folder.metrics_path).rows(), stage_results(folder))))


def test_row_is_in_the_file_at_once(tmp_path: Path) -> None:
    log = MetricLog(tmp_path / "metrics.jsonl")
    assert log.rows() == []
    log.log(12, 2, "train/loss", 0.5)
    row = {"step": 12, "stage": 2, "name": "train/loss", "value": 0.5}
    assert json.loads(log.path.read_text()) == sealed(row)
    assert log.rows() == [row]


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


def test_what_is_sent_step_by_step_is_what_the_folder_holds(make_run: MakeRun) -> None:
    folder, sink = make_run(num_answers=3, num_stages=1), Memory()
    tracker = Tracker(folder)
    tracker.start({"memory": lambda: sink})
    tracker.rewind(0)
    assert sink.rows == rows_of(folder)  # the reference model, before any step
    for step in (1, 2):
        tracker.log(step, 1, "align/loss", 1 / step)
        tracker.log(step, 1, "align/lr", 0.1)
    tracker.log(2, 1, "align/held_out_cosine", 0.5)
    assert len(sink.rows) == 2  # step 2 may still get more
    tracker.catch_up()
    tracker.finish("done")
    assert sink.rows == rows_of(folder)
    assert sink.rows[2].metrics == {"align/loss": 0.5, "align/lr": 0.1, "align/held_out_cosine": 0.5}
    assert sink.state == "done"


def test_a_resumed_run_sends_each_row_under_the_index_that_it_had(make_run: MakeRun) -> None:
    folder, sink = make_run(num_answers=3, num_stages=1), Memory()
    for first, last in ((1, 5), (3, 7)):  # killed after step 5, gone on after the checkpoint of step 2
        tracker = Tracker(folder)
        tracker.start({"memory": lambda: sink})
        tracker.rewind(first - 1)
        for step in range(first, last + 1):
            tracker.log(step, 1, "align/loss", 1 / step)
    tracker.finish("done")
    assert [row.step for row in sink.rows.values()] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert sink.rows == rows_of(folder)


def test_a_sink_that_fails_is_left_out_once_and_the_run_goes_on(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, broken, sound = make_run(num_answers=3, num_stages=1), Memory(fails_at=2), Memory()
    tracker = Tracker(folder)
    tracker.start({"broken": lambda: broken, "sound": lambda: sound})
    tracker.rewind(0)
    for step in range(1, 6):
        tracker.log(step, 1, "align/loss", 1 / step)
    tracker.finish("done")
    assert sorted(broken.rows) == [0, 1]
    assert sound.rows == rows_of(folder)
    assert capsys.readouterr().err == (
        "warning: broken failed: Connection lost. The run continues, and its folder has everything.\n"
    )


def test_a_tracker_that_cannot_begin_ends_a_new_run_and_not_one_that_goes_on(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> Memory:
        raise UserError("no login.")

    with pytest.raises(UserError, match="no login"):
        Tracker(make_run(name="new", num_stages=0)).start({"broken": refuse})
    tracker = Tracker(make_run(num_answers=3, num_stages=1))
    tracker.start({"broken": refuse})
    tracker.log(1, 1, "align/loss", 0.5)
    tracker.finish("done")
    assert capsys.readouterr().err.count("broken failed: no login.") == 1
