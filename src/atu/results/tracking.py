"""Training metrics of a run, one row a value, without double rows after a resume."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from atu.results.files import append_jsonl, read_jsonl, write_jsonl_atomic


@dataclass(frozen=True)
class MetricLog:
    """Appends to `metrics.jsonl`: rows `{"step": 12, "stage": 2, "name": "train/loss", "value": 0.41}`."""

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
        append_jsonl(self.path, [{"step": step, "stage": stage, "name": name, "value": float(value)}])

    def rewind(self, step: int) -> None:
        """Drop the rows after global step `step`, which the resumed run will log again."""
        if not self.path.exists():
            return
        rows = read_jsonl(self.path, allow_cut_tail=True)
        write_jsonl_atomic(self.path, [row for row in rows if row["step"] <= step])

    def rows(self) -> list[dict[str, float | int | str]]:
        """All rows, in the order logged; empty when nothing was logged yet."""
        return read_jsonl(self.path, allow_cut_tail=True) if self.path.exists() else []
