"""The curves of figures 4 to 6 as numbers: a run each, or a method each, averaged over its targets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from atu.records import Score
from atu.report.selection import FORGET, NEIGHBOR, UTILITY, value
from atu.report.statistics import GAP, Estimate, by_target, mean_interval
from atu.report.study import Entry, Study, hook_layer
from atu.report.styles import MethodStyle

STAGE = "stage"
"""The x of figure 6: how many unlearn stages there were."""
AXES = (STAGE, FORGET, NEIGHBOR, UTILITY)

Dashes = Literal["-", "--", ":", "-."]
_DASHES: tuple[Dashes, ...] = get_args(Dashes)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One curve."""

    label: str
    row: str
    """What it is called where each line has a row of its own: a run by its target and seed too."""
    style: MethodStyle
    dashes: Dashes
    """Tells targets apart where `target_dashes` can, and else the variants of one method."""
    layer: float | None
    """Hook layer, of a method that has one."""
    points: Mapping[str, Sequence[float]]
    """One of `AXES` → its value at each point, NaN for a gap; the first point is before."""
    shown: Mapping[str, Estimate]
    """One of `AXES` → its value at the point that the rule shows."""


def run_lines(study: Study) -> list[Line]:
    """One line per run."""
    of_target, of_variant = target_dashes(study), _variant_dashes(study)
    lines = []
    for entry in study.entries:
        points = _points(entry)
        lines.append(
            Line(
                label=entry.style.label.en if of_target else entry.variant,
                row=_row(entry),
                style=entry.style,
                dashes=of_target.get(entry.run.target) or of_variant[entry.variant],
                layer=hook_layer(entry.run),
                points={name: [_at(points, stage, name) for stage in range(len(points))] for name in AXES},
                shown={name: Estimate(_shown(entry, name), math.nan, math.nan, 1) for name in AXES},
            )
        )
    return lines


def _row(entry: Entry) -> str:
    seed = None if entry.run.seed is None else f"seed {entry.run.seed}"
    return ", ".join(filter(None, (entry.variant, entry.run.target.replace("_", " "), seed)))


def mean_lines(study: Study) -> list[Line]:
    """One per method. Every stage has the same targets: a run that stopped counts with its last stage from then on."""
    dashes = _variant_dashes(study)
    lines = []
    for variant, entries in study.variants.items():
        curves = [_points(entry) for entry in entries]
        stages = range(max(map(len, curves)))
        held = {
            name: [_mean(entries, [_at(points, stage, name) for points in curves]).value for stage in stages]
            for name in AXES
        }
        shown = {name: _mean(entries, [_shown(entry, name) for entry in entries]) for name in AXES}
        # How far the numbers of stages differ is no uncertainty.
        shown[STAGE] = shown[STAGE]._replace(low=math.nan, high=math.nan)
        lines.append(
            Line(
                label=variant,
                row=variant,
                style=entries[0].style,
                dashes=dashes[variant],
                layer=hook_layer(entries[0].run),
                points=held | {STAGE: [float(stage) for stage in stages]},
                shown=shown,
            )
        )
    return lines


def target_dashes(study: Study) -> dict[str, Dashes]:
    """Target → dashes, where there are few enough to be told apart."""
    targets = study.targets
    return dict(zip(targets, _DASHES, strict=False)) if 1 < len(targets) <= len(_DASHES) else {}


def _variant_dashes(study: Study) -> dict[str, Dashes]:
    """Variant → dashes; the variants of one method share its color and marker."""
    seen: dict[str, int] = {}
    dashes = {}
    for variant, entries in study.variants.items():
        count = seen.setdefault(entries[0].run.method, 0)
        dashes[variant] = _DASHES[count % len(_DASHES)]
        seen[entries[0].run.method] += 1
    return dashes


def _points(entry: Entry) -> list[Mapping[str, Score]]:
    """The scores of a run: before (none where it was not asked), then after each unlearn stage."""
    is_before = bool(entry.stages) and entry.stages[0].kind == "before"
    return [*([] if is_before else [{}]), *(stage.scores for stage in entry.stages)]


def _at(points: Sequence[Mapping[str, Score]], stage: int, name: str) -> float:
    held = min(stage, len(points) - 1)
    return float(held) if name == STAGE else value(points[held], name)


def _shown(entry: Entry, name: str) -> float:
    return entry.node.position if name == STAGE else value(entry.node.scores, name)


def _mean(entries: Sequence[Entry], values: Sequence[float]) -> Estimate:
    """Mean over targets, or a gap where one of them has none: other targets would move the line by themselves."""
    targets = by_target((entry.run.target, number) for entry, number in zip(entries, values, strict=True))
    return GAP if targets.isna().any() else mean_interval(targets)
