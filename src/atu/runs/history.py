"""A run's history as trackers get it: one row per step and one per stage, in an order that the run folder alone gives.

The i-th row is the same whether it is sent during the run, after a resume, or later from the folder. So a
tracker that knows how many rows it has can be brought up to date, and none arrives twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from atu.records import Scoring, StageResult
from atu.runs.run_folder import RunFolder

BLOCKS: dict[Scoring, str] = {"corrected": "corrected", "released": "report"}
"""Scoring to what its names begin with in a tracker; the original project logs its scores as `report/...`, too."""


@dataclass(frozen=True, kw_only=True)
class HistoryRow:
    """The metrics of one step, or a finished stage."""

    step: int
    """Optimizer steps of the run so far."""
    stage: int
    """Index of the stage; 0 is the reference model."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Values by name, such as `train/loss`."""
    results: Mapping[Scoring, StageResult] = field(default_factory=dict)
    """The finished stage under each scoring that it has; empty for a step."""

    @property
    def values(self) -> dict[str, float]:
        """Metrics by name and scores as `report/...` and `corrected/...`; a score without a value is left out."""
        values = dict(self.metrics)
        for scoring, result in self.results.items():
            for name, score in result.scores.items():
                if math.isfinite(score.value):
                    values[f"{BLOCKS[scoring]}/{name}"] = score.value
        return values


def history(
    metrics: Iterable[Mapping[str, Any]], stages: Mapping[int, Mapping[Scoring, StageResult]]
) -> list[HistoryRow]:
    """All rows of a run: of each stage its steps, then what it left behind.

    Args:
        metrics: rows of `metrics.jsonl`.
        stages: as `stage_results` gives them.
    """
    steps: dict[int, list[HistoryRow]] = {}
    for row in step_rows(metrics):
        steps.setdefault(row.stage, []).append(row)
    rows: list[HistoryRow] = []
    for stage in sorted({*steps, *stages}):
        rows += steps.get(stage, [])
        if stage in stages:
            rows.append(HistoryRow(step=rows[-1].step if rows else 0, stage=stage, results=stages[stage]))
    return rows


def step_rows(metrics: Iterable[Mapping[str, Any]]) -> Iterator[HistoryRow]:
    """Rows of `metrics.jsonl` by step: what was logged one after the other at the same step is one row."""
    for (stage, step), group in groupby(metrics, key=lambda row: (row["stage"], row["step"])):
        yield HistoryRow(step=step, stage=stage, metrics={row["name"]: row["value"] for row in group})


def stage_results(folder: RunFolder) -> dict[int, dict[Scoring, StageResult]]:
    """Index of a finished stage to what it is under each scoring; `released` only where it has such scores.

    Raises:
        UserError: a stage file is missing or broken.
    """
    found: dict[int, dict[Scoring, StageResult]] = {}
    for scoring in BLOCKS:
        for stage in folder.read_stages(scoring):
            if scoring == "corrected" or stage.scores:
                found.setdefault(stage.index, {})[scoring] = stage
    return found
