"""Which stage of a run is shown: one rule, the same for every method."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from atu.errors import UserError
from atu.records import Score, StageResult

FORGET, NEIGHBOR, UTILITY = "forget/all", "neighbor/all", "utility/gen"
"""The scores that curves are drawn of; levels are shares of `FORGET` before."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """`last`, `matched` at a level, or `best`."""

    kind: Literal["last", "matched", "best"]
    level: float = 0.0
    """Share of the forget score before, in (0, 1); of `matched` alone."""
    asked_for: str = ""
    """The method that a `best` was asked for; it is given to all of them alike."""

    def __str__(self) -> str:
        """The rule in words, for tables and figures."""
        if self.kind == "last":
            return "last stage of every run"
        if self.kind == "matched":
            return (
                f"matched forgetting: first stage with {FORGET} at or under {100 * self.level:.4g}% of before, "
                "interpolated on the curve"
            )
        asked = f", asked for {self.asked_for} and given to all alike" if self.asked_for else ""
        return (
            f"best stage of every run ({NEIGHBOR} minus {FORGET} at its highest{asked}): "
            "chosen on the test questions, so it flatters every method"
        )


@dataclass(frozen=True, kw_only=True)
class Node:
    """A point of a run's curve."""

    scores: Mapping[str, Score]
    """Empty where the rule finds no point: a gap. An interpolated score has no interval (NaN)."""
    label: str
    """Where it lies, or why there is none."""
    position: float = math.nan
    """Count of the unlearn stages before and at it; a fraction between two of them."""


def parse_rule(text: str) -> Rule:
    """Read `last`, `matched:LEVEL`, `best` or `best:METHOD`.

    Raises:
        UserError: anything else, or a level that is no number between 0 and 1.
    """
    kind, _, rest = text.partition(":")
    if kind == "last" and not rest:
        return Rule(kind="last")
    if kind == "best":
        return Rule(kind="best", asked_for=rest)
    if kind == "matched":
        if not re.fullmatch(r"0?\.\d+", rest) or not 0 < float(rest) < 1:
            raise UserError(
                f"'{rest}' is no level of forgetting: give the share of {FORGET} before that may be left, "
                "between 0 and 1, as in matched:0.33."
            )
        return Rule(kind="matched", level=float(rest))
    raise UserError(f"There is no stage rule '{text}'. Known: last, matched:LEVEL, best.")


def curve(stages: Sequence[StageResult]) -> list[StageResult]:
    """The stages that were scored, by index."""
    return [stage for stage in stages if stage.scores]


def select(stages: Sequence[StageResult], rule: Rule) -> Node:
    """The point of a run that a rule shows.

    Args:
        stages: of one run under one scoring, by index.
        rule: the same for every run of a table.
    """
    points = curve(stages)
    first = 1 if points and points[0].kind == "before" else 0
    if len(points) == first:
        return Node(scores={}, label="no stage was scored")
    if rule.kind == "matched":
        return _matched(points, rule.level)
    index = len(points) - 1
    if rule.kind == "best":
        gains = [value(p.scores, NEIGHBOR) - value(p.scores, FORGET) for p in points[first:]]
        if all(math.isnan(gain) for gain in gains):
            return Node(scores={}, label=f"no stage has both {FORGET} and {NEIGHBOR}")
        index = first + max(range(len(gains)), key=lambda i: -math.inf if math.isnan(gains[i]) else gains[i])
    position = index - first + 1
    return Node(scores=points[index].scores, label=points[index].label, position=position)


def before(stages: Sequence[StageResult]) -> StageResult | None:
    """The stage of the reference model, where it was asked."""
    return next((stage for stage in stages if stage.kind == "before" and stage.scores), None)


def value(scores: Mapping[str, Score], name: str) -> float:
    """A score's value; NaN where it is missing."""
    return scores[name].value if name in scores else math.nan


def _matched(points: Sequence[StageResult], level: float) -> Node:
    reference = before(points)
    start = math.nan if reference is None else value(reference.scores, FORGET)
    if not start > 0:
        return Node(scores={}, label=f"no {FORGET} before to take a share of")
    shares = [value(point.scores, FORGET) / start for point in points]
    if any(math.isnan(share) for share in shares):
        return Node(scores={}, label=f"a stage without {FORGET}")
    index = next((i for i, share in enumerate(shares) if share <= level), None)
    if index is None:
        return Node(scores={}, label=f"never at {100 * level:.4g}% of before; lowest {100 * min(shares):.4g}%")
    # The first point is `before`, at a share of 1, so there is always one on the left.
    part = (shares[index - 1] - level) / (shares[index - 1] - shares[index])
    left, right = points[index - 1], points[index]
    return Node(
        scores=_between(left.scores, right.scores, part),
        label=f"{left.label} + {100 * part:.0f}% of the way to {right.label}",
        position=index - 1 + part,
    )


def _between(left: Mapping[str, Score], right: Mapping[str, Score], part: float) -> dict[str, Score]:
    """Scores on the straight line between two stages; one that either side lacks is a gap."""
    if part == 1:
        return dict(right)
    return {
        name: Score(
            value=left[name].value + part * (right[name].value - left[name].value),
            n=right[name].n,
            low=math.nan,
            high=math.nan,
        )
        for name in right
        if name in left
    }
