"""The numbers and answers that `report.html` draws, as one JSON value."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from atu.records import KNOWN_SCORE, Answer, AttackRow, Score, StageResult
from atu.report.metrics import all_words, describe, sort_key
from atu.report.styles import PALETTE
from atu.text.metric_words import DIRECTIONS
from atu.text.prompts import common_wording

MAX_POINTS = 240
"""Points that a curve is drawn with."""

ANSWER_FIELDS = ("id", "group", "attack", "prompt", "references", "before", "after")
"""Order of an answer row: `answers.js` unpacks it."""

_CURVES = ("forget", "neighbor", "utility", "degenerate")
"""Families drawn over the stages."""
_SAME_PANEL = {"align/constant_cosine": "align/held_out_cosine"}
"""Curves that mean nothing without the other."""


def page_data(
    stages: Sequence[StageResult],
    before: Sequence[Answer],
    after: Sequence[Answer],
    metric_rows: Sequence[Mapping[str, Any]],
    attacks: Sequence[AttackRow] = (),
) -> dict[str, Any]:
    """Everything that the page's script needs.

    Args:
        stages: the finished stages, by index.
        before: answers of the reference model.
        after: answers of the last evaluated stage; empty when there is none yet.
        metric_rows: rows of `metrics.jsonl`.
        attacks: rows of `attacks.json`.
    """
    panels = _panels(metric_rows)
    names = {name for stage in stages for name in (*stage.scores, *stage.signals)}
    names |= {curve["name"] for panel in panels for curve in panel["curves"]}
    return {
        "metrics": metrics_data({*names, *(row.group for row in attacks)}),
        "stages": [stage_data(stage) for stage in stages],
        "headline": headlines(stages),
        "attacks": [attack_data(row) for row in attacks],
        "palette": PALETTE,
        "panels": panels,
        "families": all_words().family_labels(),
        "stage_starts": _stage_starts(metric_rows),
        "answers": {"fields": ANSWER_FIELDS, "rows": _answer_rows(before, after, wordings(before, after))},
        "has_after": bool(after),
    }


def last_evaluated(stages: Sequence[StageResult]) -> StageResult | None:
    """The last stage after the start that has scores."""
    return next((stage for stage in reversed(stages) if stage.kind != "before" and stage.scores), None)


def metrics_data(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What the page says of each score and metric, in table order."""
    return {name: _metric(name) for name in sorted(names, key=sort_key)}


def _metric(name: str) -> dict[str, Any]:
    metric = describe(name)
    return {
        "family": metric.family,
        "label": metric.label,
        "short": metric.short,
        "unit": metric.unit,
        "arrow": metric.arrow,
        "direction": DIRECTIONS[metric.direction][1],
        "meaning": metric.meaning,
        "pitfall": metric.pitfall,
    }


def stage_data(stage: StageResult) -> dict[str, Any]:
    """A stage with its scores; a score that is no number is left out, so that it is a gap everywhere."""
    return {
        "index": stage.index,
        "kind": stage.kind,
        "label": stage.label,
        "scores": {name: _score(score) for name, score in stage.scores.items() if math.isfinite(score.value)},
    }


def attack_data(row: AttackRow) -> dict[str, Any]:
    """A row of `attacks.json` as the script draws it."""
    return {
        "attack": row.attack,
        "setting": row.setting,
        "step": _measured(row.step),
        "group": row.group,
        "score": _score(row.score) if math.isfinite(row.score.value) else None,
        "degenerate": _measured(row.degenerate),
        "recovered": _measured(row.recovered),
    }


def _score(score: Score) -> list[float | None]:
    return [_finite(score.value), _finite(score.low), _finite(score.high), score.n]


def headlines(stages: Iterable[StageResult]) -> dict[str, str]:
    """Family → the score that stands for it in the curves: the pooled one, else its first."""
    names = sorted({name for stage in stages for name in stage.scores}, key=sort_key)
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(name.partition("/")[0], name)
    return {family: first[family] for family in _CURVES if family in first}


def _panels(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Curves over the optimizer steps, one panel a metric; related ones share it."""
    series: dict[str, dict[int, list[tuple[int, float]]]] = {}
    for row in rows:
        series.setdefault(row["name"], {}).setdefault(row["stage"], []).append((row["step"], row["value"]))
    panels: dict[str, list[dict[str, Any]]] = {}
    for name in sorted(series, key=sort_key):
        home = _SAME_PANEL.get(name, name)
        home = home if home in series else name
        # A curve is broken between stages: nothing was measured there.
        most = max(2, MAX_POINTS // len(series[name]))
        segments = [_thin(points, most) for _, points in sorted(series[name].items())]
        panels.setdefault(home, []).append({"name": name, "segments": segments})
    return [{"name": name, "family": name.partition("/")[0], "curves": curves} for name, curves in panels.items()]


def _thin(points: Sequence[tuple[int, float]], most: int) -> list[list[float]]:
    """At most `most` points as `[step, mean, low, high]`; longer curves are averaged in buckets."""
    points = sorted(points)
    size = math.ceil(len(points) / most)
    thinned = []
    for start in range(0, len(points), size):
        bucket = points[start : start + size]
        values = [value for _, value in bucket]
        numbers = [sum(values) / len(values), min(values), max(values)]
        thinned.append([bucket[-1][0], *(_short(value) for value in numbers)])
    return thinned


def _stage_starts(rows: Iterable[Mapping[str, Any]]) -> list[list[int]]:
    """`[stage, first step]` for each stage that logged something."""
    starts: dict[int, int] = {}
    for row in rows:
        starts[row["stage"]] = min(row["step"], starts.get(row["stage"], row["step"]))
    return [[stage, starts[stage]] for stage in sorted(starts)]


def wordings(before: Sequence[Answer], after: Sequence[Answer]) -> dict[str, tuple[str, str]]:
    """Group → what all of its prompts begin and end with; of those that have it. The page shows it once."""
    groups: dict[str, list[str]] = {}
    for answer in before or after:
        groups.setdefault(answer.group, []).append(answer.prompt)
    return {group: found for group, prompts in groups.items() if any(found := common_wording(prompts))}


def _answer_rows(
    before: Sequence[Answer], after: Sequence[Answer], worded: Mapping[str, tuple[str, str]]
) -> list[list[Any]]:
    first = {answer.probe_id: answer for answer in before}
    last = {answer.probe_id: answer for answer in after}
    return [_answer_row(first.get(probe_id), last.get(probe_id), worded) for probe_id in {**first, **last}]


def _answer_row(before: Answer | None, after: Answer | None, worded: Mapping[str, tuple[str, str]]) -> list[Any]:
    """A row of `ANSWER_FIELDS`; each side is `_side` or null."""
    answer = before or after
    assert answer is not None
    known = next((a.known_before for a in (before, after) if a and a.known_before is not None), None)
    sides = [_side(before, known), _side(after, None)]
    begin, end = worded.get(answer.group, ("", ""))
    prompt = answer.prompt.removeprefix(begin).removesuffix(end)
    return [answer.probe_id, answer.group, answer.attack, prompt, answer.references, *sides]


def _side(answer: Answer | None, known: bool | None) -> list[Any] | None:
    """`[text, score, is right, is degenerate, nll, loss, p]`; a scored text or a free one (fluency) has no right."""
    if answer is None:
        return None
    nll, loss, p = (_finite(answer.values.get(name, math.nan)) for name in ("nll", "loss", "p"))
    is_right = answer.score >= KNOWN_SCORE if known is None else known
    is_scored_text = loss is not None
    return [
        answer.text,
        _finite(answer.score),
        None if is_scored_text or "h2" in answer.values else is_right,
        answer.degenerate and not is_scored_text,
        nll,
        loss,
        p,
    ]


def _finite(value: float) -> float | None:
    return _short(value) if math.isfinite(value) else None


def _measured(value: float | None) -> float | None:
    return None if value is None else _finite(value)


def _short(value: float) -> float:
    return float(f"{value:.5g}")
