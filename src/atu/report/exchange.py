"""Runs as one JSON file: `{"method": {"metrics": {"forget/fb": 36.3}, "config": {"method": "ATU"}}}`.

What `atu report export` writes has `stages` besides `metrics`: the whole curve in each scoring, so that the file gives
the same tables and figures as the run folders. A file written by hand may have `metrics` alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from atu.benchmarks.metrics import known_names
from atu.errors import UserError, did_you_mean
from atu.records import RunRecord, Score, Scoring, StageResult
from atu.report.selection import curve
from atu.runs.rows import stage_of, to_row
from atu.storage.files import write_json_atomic
from atu.storage.user_files import read_json
from atu.text.escaping import one_line

_SCORINGS: tuple[Scoring, ...] = get_args(Scoring)
_KEYS = ("metrics", "config", "stages", "run_config")
_AS_GIVEN = "as given"
"""Label of a stage of which the file has nothing but numbers."""


def write_runs(runs: Sequence[RunRecord], path: Path) -> Path:
    """Write runs as one JSON file, whole or not at all.

    Raises:
        UserError: two runs have the same name, or the disk refuses.
    """
    entries: dict[str, Any] = {}
    for run in runs:
        name = one_line(run.name)
        if name in entries:
            raise UserError(f"Two runs are called '{name}': export one of them.")
        scored = curve(run.stages.get("corrected", ()))
        last = to_row(scored[-1])["scores"] if scored else {}
        entries[name] = {
            "metrics": {name: score["value"] for name, score in last.items()},
            "config": {
                "method": run.method,
                "target": one_line(run.target),
                "model": one_line(run.model),
                "seed": run.seed,
                "state": run.state,
            },
            "stages": {scoring: [to_row(stage) for stage in stages] for scoring, stages in run.stages.items()},
            "run_config": run.config,
        }
    write_json_atomic(path, entries)
    return path


def read_runs(path: Path) -> list[RunRecord]:
    """Read runs from a JSON file.

    `metrics` without `stages` are the one and last stage of a run that is done. They count for the scoring that
    `config` names, or for either one where it names none (`states_scoring` tells).

    Raises:
        UserError: no such file, or something in it is not what the form says; nothing is guessed.
    """
    entries = read_json(path)
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise UserError(f'{path} must hold an object {{"name": {{"metrics": {{...}}, "config": {{...}}}}}}.')
    if not entries:
        raise UserError(f"{path} holds no runs.")
    return [_run(name, entry, path) for name, entry in entries.items()]


def states_scoring(run: RunRecord) -> bool:
    """Whether a run says which scoring its numbers are of."""
    is_by_hand = any(stage.label == _AS_GIVEN for stages in run.stages.values() for stage in stages)
    return not is_by_hand or "scoring" in run.config


def _run(name: str, entry: Mapping[str, Any], path: Path) -> RunRecord:
    where = f"{path}, '{name}'"
    if not name.isprintable() or not name.strip():
        raise UserError(f"{path}: a run must have a name of one line, not {json.dumps(name)[:60]}.")
    for key in entry:
        if key not in _KEYS:
            raise UserError(f"{where}: there is no key '{key}'.{did_you_mean(key, _KEYS)}")
    metrics, config = entry.get("metrics", {}), entry.get("config", {})
    run_config = entry.get("run_config", config)
    if not all(isinstance(part, dict) for part in (metrics, config, run_config)):
        raise UserError(f"{where}: 'metrics', 'config' and 'run_config' must be objects.")
    words = {"method": name, "target": "", "model": "", "state": "done", **config}
    for key in ("method", "target", "model", "state"):
        if not isinstance(words[key], str) or not words[key].isprintable():
            raise UserError(f"{where}: {key} must be a text of one line, not {json.dumps(words[key])[:60]}.")
    stages = _stages(entry["stages"], where) if "stages" in entry else _single_stage(metrics, config, where)
    if "stages" in entry:
        _compare(metrics, stages, where)
    seed = config.get("seed")
    if seed is not None and type(seed) is not int:
        raise UserError(f"{where}: the seed must be a whole number, not {json.dumps(seed, ensure_ascii=False)}.")
    return RunRecord(
        name=name,
        source=str(path),
        method=words["method"],
        target=words["target"],
        model=words["model"],
        seed=seed,
        state=words["state"],
        config=run_config,
        stages=stages,
    )


def _stages(blocks: Any, where: str) -> dict[Scoring, tuple[StageResult, ...]]:
    if not isinstance(blocks, dict) or not blocks or not set(blocks) <= set(_SCORINGS):
        raise UserError(f"{where}: 'stages' must have a list of stages under {' or '.join(_SCORINGS)}.")
    try:
        return {
            scoring: tuple(sorted(map(stage_of, blocks[scoring]), key=lambda stage: stage.index))
            for scoring in _SCORINGS
            if scoring in blocks
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{where}: not a stage of a run: {error}.") from error


def _single_stage(
    metrics: Mapping[str, Any], config: Mapping[str, Any], where: str
) -> dict[Scoring, tuple[StageResult, ...]]:
    if not metrics:
        raise UserError(f"{where}: no 'metrics' and no 'stages', so there is nothing to show.")
    known = known_names()
    for name, value in metrics.items():
        if name not in known:
            raise UserError(f"{where}: there is no metric '{name}'.{did_you_mean(name, known)}")
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            shown = json.dumps(value, ensure_ascii=False)
            raise UserError(f"{where}: the metric '{name}' must be a number, or null for a gap, not {shown}.")
    scores = {
        name: Score(value=value, n=0, low=math.nan, high=math.nan)
        for name, value in metrics.items()
        if value is not None and math.isfinite(value)
    }
    stage = StageResult(index=1, kind="unlearn", label=_AS_GIVEN, scores=scores, seconds=0.0)
    scoring = config.get("scoring")
    if scoring is not None and scoring not in _SCORINGS:
        raise UserError(f"{where}: there is no scoring '{scoring}'. Known: {', '.join(_SCORINGS)}.")
    stages = (stage,)
    return {name: stages for name in _SCORINGS if scoring in (name, None)}


def _compare(metrics: Mapping[str, Any], stages: Mapping[Scoring, Sequence[StageResult]], where: str) -> None:
    """Refuse metrics that say something else than the last stage: one of the two was changed by hand."""
    scored = curve(stages.get("corrected", ()))
    last = to_row(scored[-1])["scores"] if scored else {}
    for name, value in metrics.items():
        if name not in last or value != last[name]["value"]:
            raise UserError(
                f"{where}: 'metrics' and the last stage under 'stages' differ in '{name}'. Change both, or drop one."
            )
