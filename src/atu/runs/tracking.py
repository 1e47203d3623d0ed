"""What a run logs: into its folder always, and from there to the trackers that its config names."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from atu.errors import UserError, in_one_line
from atu.processes.notices import notice
from atu.runs.history import HistoryRow, history, stage_results, step_rows
from atu.runs.run_folder import RunFolder, RunState
from atu.storage.digests import sealed, unsealed
from atu.storage.files import append_jsonl, write_jsonl_atomic
from atu.storage.user_files import read_jsonl


@dataclass(frozen=True)
class MetricLog:
    """Appends to `metrics.jsonl`: rows `{"step": 12, "stage": 2, "name": "train/loss", "value": 0.41}`, sealed."""

    path: Path

    def log(self, step: int, stage: int, name: str, value: float) -> None:
        """Add one value; on return it is in the file.

        Args:
            step: global optimizer step.
            stage: index of the stage.
            name: a name of `metrics.py`, such as `train/loss`.
            value: a finite number.

        Raises:
            ValueError: `value` is NaN or infinite (a run must stop on it, not log it).
            UserError: the disk refuses.
        """
        if not math.isfinite(value):
            raise ValueError(f"{name} is {value} at step {step} of stage {stage}; only finite values are logged")
        append_jsonl(self.path, [sealed({"step": step, "stage": stage, "name": name, "value": float(value)})])

    def rewind(self, step: int) -> None:
        """Drop the rows after global step `step`, which the resumed run will log again."""
        if self.path.exists():
            write_jsonl_atomic(self.path, [sealed(row) for row in self.rows() if row["step"] <= step])

    def rows(self) -> list[dict[str, Any]]:
        """All rows, in the order logged, without their checks; empty when nothing was logged yet.

        Raises:
            UserError: a row is not what was logged.
        """
        try:
            rows = read_jsonl(self.path, allow_cut_tail=True) if self.path.exists() else []
            return [self._unsealed(row, number) for number, row in enumerate(rows, start=1)]
        except UserError as error:
            raise UserError(f"{error} Delete that line; the curves then lack its value.") from error

    def _unsealed(self, row: dict[str, Any], number: int) -> dict[str, Any]:
        try:
            return unsealed(row)
        except ValueError as error:
            raise UserError(f"{self.path}, row {number}: {error}.") from error


class Sink(Protocol):
    """A tracker that a run has besides its folder. An exception ends it, and never the run."""

    def write(self, index: int, row: HistoryRow) -> None:
        """Take the row of this index; it may have come before, in an earlier process of the same run."""

    def finish(self, folder: RunFolder, state: RunState) -> None:
        """Take the files of the run, and end."""


class Tracker:
    """Keeps metrics in the run folder and brings every sink up to date with it."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._metrics = MetricLog(folder.metrics_path)
        self._sinks: dict[str, Sink] = {}
        self._sent = 0
        self._step: list[dict[str, Any]] = []
        """Rows of the step that may still get more."""

    def start(self, sinks: Mapping[str, Callable[[], Sink]]) -> None:
        """Open sinks by name.

        Raises:
            UserError: one can't be opened, and nothing of the run would be lost by ending it here.
        """
        for name, open_sink in sinks.items():
            try:
                self._sinks[name] = open_sink()
            except UserError as error:
                if not self._folder.holds_work:
                    raise
                _warn(name, error)

    def log(self, step: int, stage: int, name: str, value: float) -> None:
        """Add one value, as `MetricLog.log` does."""
        if self._step and (self._step[0]["stage"], self._step[0]["step"]) != (stage, step):
            self._end_step()
        self._metrics.log(step, stage, name, value)
        self._step.append({"step": step, "stage": stage, "name": name, "value": value})

    def rewind(self, step: int) -> None:
        """Begin, or resume, after global step `step`: what the folder holds up to there is sent now."""
        self._metrics.rewind(step)
        self.catch_up()

    def catch_up(self) -> None:
        """Send what is new in the folder, such as a stage that has just been written."""
        self._end_step()
        if self._sinks:
            for row in history(self._metrics.rows(), stage_results(self._folder))[self._sent :]:
                self._send(row)

    def finish(self, state: RunState) -> None:
        """End all sinks; the folder has its status and its page by now."""
        self._end_step()
        self._each(lambda sink: sink.finish(self._folder, state))
        self._sinks.clear()

    def _end_step(self) -> None:
        for row in step_rows(self._step):
            self._send(row)
        self._step.clear()

    def _send(self, row: HistoryRow) -> None:
        index, self._sent = self._sent, self._sent + 1
        self._each(lambda sink: sink.write(index, row))

    def _each(self, act: Callable[[Sink], None]) -> None:
        for name, sink in list(self._sinks.items()):
            try:
                act(sink)
            except Exception as error:
                del self._sinks[name]
                _warn(name, error)


class NoTracker:
    """In place of a `Tracker` in a process that writes nothing, since another one of the same run does."""

    def start(self, sinks: Mapping[str, Callable[[], Sink]]) -> None:
        """Nothing is opened."""

    def log(self, step: int, stage: int, name: str, value: float) -> None:
        """Nothing is kept."""

    def rewind(self, step: int) -> None:
        """Nothing is dropped."""

    def catch_up(self) -> None:
        """Nothing is sent."""


def _warn(name: str, error: Exception) -> None:
    notice(f"{name} failed: {in_one_line(error)}. The run continues, and its folder has everything.")
