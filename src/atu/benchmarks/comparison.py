"""Before and after of a run: the table's rows, and the four goals. `verdict.py` makes words of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from atu.benchmarks.metrics import describe, sort_key
from atu.records import Score, Words
from atu.text.metric_words import Metric

MAX_FORGET_KEPT = 100 / 3
"""Percent of the right answers about the concept that may be left for it to count as forgotten."""
MIN_REST_KEPT = 90.0
"""Percent of the other right answers that must be left for the rest to count as kept."""
MAX_NEW_DEGENERATE = 5.0
"""Points by which the degenerate answers may rise."""

DEGENERATE = ("degenerate/forget", "degenerate/neighbor", "degenerate/utility")
"""Shares of degenerate answers of all questions about the concept, about neighbors, and about anything else."""

_LEAST_SHOWN = 0.0005
"""With three decimals."""

GAP = "–"
"""Stands for a missing number: never 0, never a guess."""

_NOT_MEASURED = Words("not measured", "未测量")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One score before and after; either may be missing."""

    metric: Metric
    before: Score | None
    after: Score | None

    @property
    def change(self) -> float | None:
        """After minus before, in the unit of the score."""
        if self.before is None or self.after is None:
            return None
        return self.after.value - self.before.value

    @property
    def kept(self) -> float | None:
        """Percent of the earlier right answers that is left; None where that has no meaning."""
        if self.metric.family not in ("forget", "neighbor", "utility") or self.metric.unit != "%":
            return None
        if self.before is None or self.after is None or not self.before.value > 0:
            return None
        return 100 * self.after.value / self.before.value

    @property
    def is_better(self) -> bool | None:
        """Whether it moved the good way; None when it stayed, or neither way is good."""
        change = self.change
        if not change or self.metric.direction == "none":
            return None
        return (change < 0) == (self.metric.direction == "lower")


@dataclass(frozen=True, kw_only=True)
class Check:
    """One question a reader asks first, with the numbers that answer it."""

    name: str
    label: Words
    row: Row | None
    """None when it was not measured before and after."""
    result: Words
    goal: Words
    is_met: bool | None

    @property
    def kept(self) -> str | None:
        """Percent of the earlier right answers left, with a decimal where a whole number would belie `is_met`."""
        if self.row is None or self.row.kept is None:
            return None
        decimals = 0 if _is_met(self.name, round(self.row.kept)) == self.is_met else 1
        return f"{self.row.kept:.{decimals}f}"


def compare(before: Mapping[str, Score], after: Mapping[str, Score]) -> list[Row]:
    """Pair the scores by name, in table order; a score that only one side has is kept, with a gap."""
    names = sorted({*before, *after}, key=sort_key)
    return [Row(metric=describe(name), before=_score(before, name), after=_score(after, name)) for name in names]


def checks(before: Mapping[str, Score], after: Mapping[str, Score]) -> list[Check]:
    """Forgotten, neighbors kept, general knowledge kept, answers not broken: in this order."""
    return [
        _share_check("forget", Words("Still answered", "仍能回答"), before, after),
        _share_check("neighbor", Words("Neighbors", "邻近知识"), before, after),
        _share_check("utility", Words("General knowledge", "通用能力"), before, after),
        _degenerate_check(before, after),
    ]


def number(value: float | None, unit: str = "%") -> str:
    """A number as tables show it: one decimal for percent, three for others, a dash for a gap.

    A share that is not 0 and would look so is written as a power of ten: p values of tests may be that small.
    """
    if value is None or math.isnan(value):
        return GAP
    if unit == "%":
        return f"{value:.1f}"
    if not unit and 0 < abs(value) < _LEAST_SHOWN:
        return f"{value:.0e}"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.1f}"


def signed(value: float | None, unit: str = "%") -> str:
    """As `number`, with a sign; a change that rounds to nothing has none."""
    text = number(value, unit)
    if text == GAP or not any(digit in text for digit in "123456789"):
        return text.removeprefix("-")
    return text.replace("-", "−") if text.startswith("-") else f"+{text}"


def _share_check(name: str, label: Words, before: Mapping[str, Score], after: Mapping[str, Score]) -> Check:
    goal = Words(f"goal: at least {MIN_REST_KEPT:.0f}% kept", f"目标：至少保留 {MIN_REST_KEPT:.0f}%")
    word = Words("kept", "保留")
    if name == "forget":
        goal, word = Words("goal: at most a third left", "目标：至多剩三分之一"), Words("left", "剩余")
    row = _headline(name, before, after)
    if row is None or row.before is None or row.after is None:
        return Check(name=name, label=label, row=None, result=_NOT_MEASURED, goal=goal, is_met=None)
    numbers = f"{row.before.value:.0f} → {row.after.value:.0f}%"
    result, is_met = Words(numbers, numbers), None
    if row.kept is not None:
        is_met = _is_met(name, row.kept)
    check = Check(name=name, label=label, row=row, result=result, goal=goal, is_met=is_met)
    if check.kept is None:
        return check
    shown = Words(f"{numbers} ({check.kept}% {word.en})", f"{numbers}（{word.zh} {check.kept}%）")
    return replace(check, result=shown)


def _is_met(name: str, kept: float) -> bool:
    """Whether so many percent of the earlier right answers reach the goal."""
    return kept <= MAX_FORGET_KEPT if name == "forget" else kept >= MIN_REST_KEPT


def _degenerate_check(before: Mapping[str, Score], after: Mapping[str, Score]) -> Check:
    """Judged on the group of probes where the degenerate answers rose most."""
    points = f"{MAX_NEW_DEGENERATE:.0f}"
    goal = Words(f"goal: at most {points} points more", f"目标：至多增加 {points} 个百分点")
    rows = [row for row in compare(before, after) if row.metric.name in DEGENERATE]
    worst = max(rows, key=lambda row: -math.inf if row.change is None else row.change, default=None)
    row, result, is_met = None, _NOT_MEASURED, None
    if worst is not None and worst.change is not None:
        points = signed(round(worst.change)).removesuffix(".0")
        row, is_met = worst, worst.change <= MAX_NEW_DEGENERATE
        result = Words(f"{points} points", f"{points} 个百分点")
    label = Words("Degenerate answers", "退化回答")
    return Check(name="degenerate", label=label, row=row, result=result, goal=goal, is_met=is_met)


def _headline(family: str, before: Mapping[str, Score], after: Mapping[str, Score]) -> Row | None:
    """The pooled score of a family, else its first one that both sides have."""
    rows = [row for row in compare(before, after) if row.metric.family == family]
    return next((row for row in rows if row.change is not None), None)


def _score(scores: Mapping[str, Score], name: str) -> Score | None:
    """The score, unless it is missing or no number: a gap is never 0."""
    score = scores.get(name)
    return None if score is None or math.isnan(score.value) else score
