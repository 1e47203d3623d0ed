"""The comparison table and the paired comparison, as values; `table_formats.py` writes them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from atu.benchmarks.comparison import MAX_FORGET_KEPT
from atu.records import RunRecord, Score
from atu.report.metrics import describe
from atu.report.selection import NEIGHBOR, UTILITY, Rule, before, select, value
from atu.report.statistics import GAP, Estimate, Paired, by_target, differences, mean_interval, paired
from atu.report.study import Entry, Study, unequal_runs
from atu.text.metric_words import Metric


class Column(NamedTuple):
    """A column of the comparison table."""

    name: str
    score: str

    @property
    def metric(self) -> Metric:
        """Direction, unit and meaning."""
        return describe(self.score)


COLUMNS = (
    Column("FORGET_FB", "forget/fb"),
    Column("FORGET_QA", "forget/qa"),
    Column("FORGET_AA", "forget/aa"),
    Column("FORGET_ALL", "forget/all"),
    Column("NEIGHBOR_QA", "neighbor/qa"),
    Column("NEIGHBOR_FB", "neighbor/fb"),
    Column("NEIGHBOR_ALL", "neighbor/all"),
    Column("UTILITY_MMLU", "utility/gen"),
    Column("UTILITY_BBH", "utility/rea"),
    Column("UTILITY_TRUTHFUL", "utility/tru"),
    Column("UTILITY_TRIVIA", "utility/fac"),
    Column("UTILITY_FLUENCY", "utility/flu"),
    Column("MIA_FM", "mia/fm"),
    Column("MIA_RT", "mia/rt"),
    Column("MIA_AUC_LOSS", "mia/auc_loss"),
)
"""Always there, in this order."""
GENERAL = Column("UTILITY_GENERAL", "utility/gen")
DEGENERATE = Column("DEGENERATE", "degenerate/forget")
"""Behind the others, where a run has them. `utility/gen` of another benchmark than RWKU is not MMLU."""

BEFORE = "before"
"""Label of the untouched model."""
PAIRED_SCORES = (NEIGHBOR, UTILITY)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A method, a run or the untouched model."""

    label: str
    cells: tuple[Estimate, ...]
    details: Mapping[str, str]
    """Further columns of the csv file, which say what the row is."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """The comparison table."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    title: str
    """Scoring and rule, which stand on every form of the table."""
    notes: tuple[str, ...]
    is_aggregate: bool
    """Whether the cells are means over targets with intervals."""


@dataclass(frozen=True, kw_only=True)
class PairedRow:
    """Two methods on one score, at the same share of the forget score before."""

    first: str
    second: str
    metric: Metric
    result: Paired
    targets: Mapping[str, tuple[float, float]]
    """Target → score of the first and of the second."""


def title(study: Study) -> str:
    """What stands on every table and figure."""
    return f"Scoring: {study.scoring_words}. Shown: {study.rule}."


def run_table(study: Study) -> Table:
    """A row a run, and one a target for the untouched model."""
    columns = _columns(study)
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in study.entries:
        groups.setdefault((entry.run.model, entry.run.target), []).append(entry)
    untouched = []
    for (model, target), entries in groups.items():
        scores = [_before_scores(entry) for entry in entries]
        cells = tuple(_mean_of_equals([_number(s, column, entries[0].run) for s in scores if s]) for column in columns)
        if any(cell.n for cell in cells):
            parts = [BEFORE, target, model]
            untouched.append((parts, cells, {"STAGE": BEFORE, "TARGET": target, "MODEL": model, "SEED": "", "RUN": ""}))
    runs = []
    for entry in study.entries:
        run, seed = entry.run, "" if entry.run.seed is None else str(entry.run.seed)
        parts = [entry.variant, run.target, seed and f"seed {seed}", run.name, run.source]
        cells = tuple(_cell(entry.node.scores, column, run) for column in columns)
        details = {"STAGE": entry.node.label, "TARGET": run.target, "MODEL": run.model, "SEED": seed, "RUN": run.name}
        runs.append((parts, cells, details))
    labels = [*_distinct([parts for parts, *_ in untouched]), *_distinct([parts for parts, *_ in runs])]
    rows = [
        Row(label=label, cells=cells, details=_common(study) | details)
        for label, (_, cells, details) in zip(labels, [*untouched, *runs], strict=True)
    ]
    return Table(columns=columns, rows=tuple(rows), title=title(study), notes=study.notes, is_aggregate=False)


def aggregate_table(study: Study) -> Table:
    """A row a method: means over its targets, each target once, with n and t interval; and the untouched model."""
    columns, targets = _columns(study), study.targets
    rows, notes = [], [*study.notes, *unequal_runs(study)]
    models = sorted({entry.run.model for entry in study.entries})
    for model in models:
        entries = [entry for entry in study.entries if entry.run.model == model and _before_scores(entry)]
        label = BEFORE if len(models) == 1 else f"{BEFORE}, {model}"
        if entries:
            rows.append(_mean_row(study, label, [(e, _before_scores(e)) for e in entries], columns, ()))
    for variant, entries in study.variants.items():
        missing = [target for target in targets if target not in {entry.run.target for entry in entries}]
        if missing:
            notes.append(f"{variant} has no run of {', '.join(missing)}: its means are over other targets")
        rows.append(_mean_row(study, variant, [(e, e.node.scores) for e in entries], columns, missing))
    return Table(
        columns=columns,
        rows=tuple(rows),
        title=f"{title(study)} Mean over targets (seeds first) ± half of the 95% t interval.",
        notes=tuple(notes),
        is_aggregate=True,
    )


def paired_rule(study: Study) -> Rule:
    """The level of the study's rule; without one, the level that counts as forgotten."""
    return study.rule if study.rule.kind == "matched" else Rule(kind="matched", level=MAX_FORGET_KEPT / 100)


def paired_table(study: Study) -> list[PairedRow]:
    """Every two methods at matched forgetting, target by target."""
    rule = paired_rule(study)
    scores: dict[str, list[tuple[str, Mapping[str, Score]]]] = {
        variant: [(entry.run.target, select(entry.stages, rule).scores) for entry in entries]
        for variant, entries in study.variants.items()
    }
    rows = []
    variants = list(scores)
    for index, first in enumerate(variants):
        for second in variants[index + 1 :]:
            for name in PAIRED_SCORES:
                a, b = (by_target((t, value(s, name)) for t, s in scores[variant]) for variant in (first, second))
                found = differences(a, b)
                rows.append(
                    PairedRow(
                        first=first,
                        second=second,
                        metric=describe(name),
                        result=paired(list(found.values())),
                        targets={target: (a[target], b[target]) for target in found},
                    )
                )
    return rows


def _columns(study: Study) -> tuple[Column, ...]:
    """The fixed columns, and those behind them that a run has a number for."""
    has_general = any(not _is_rwku(e.run) and UTILITY in e.node.scores for e in study.entries)
    has_degenerate = any(DEGENERATE.score in e.node.scores for e in study.entries)
    return COLUMNS + (GENERAL,) * has_general + (DEGENERATE,) * has_degenerate


def _is_rwku(run: RunRecord) -> bool:
    """Whether the scores are RWKU's; a file that does not say so has its columns from there."""
    data = run.config.get("data")
    return not isinstance(data, Mapping) or data.get("benchmark", "rwku") == "rwku"


def _number(scores: Mapping[str, Score], column: Column, run: RunRecord) -> float:
    if column.score == UTILITY and (column == GENERAL) == _is_rwku(run):
        return math.nan
    return value(scores, column.score)


def _cell(scores: Mapping[str, Score], column: Column, run: RunRecord) -> Estimate:
    number = _number(scores, column, run)
    if math.isnan(number):
        return GAP
    score = scores[column.score]
    return Estimate(score.value, score.low, score.high, score.n)


def _before_scores(entry: Entry) -> Mapping[str, Score]:
    stage = before(entry.stages)
    return {} if stage is None else stage.scores


def _mean_of_equals(values: Sequence[float]) -> Estimate:
    """The untouched model's score, which its runs measured anew each."""
    present = [number for number in values if not math.isnan(number)]
    if not present:
        return GAP
    return Estimate(math.fsum(present) / len(present), math.nan, math.nan, len(present))


def _mean_row(
    study: Study,
    label: str,
    members: Sequence[tuple[Entry, Mapping[str, Score]]],
    columns: Iterable[Column],
    missing: Sequence[str],
) -> Row:
    targets = sorted({entry.run.target for entry, _ in members})
    cells = tuple(
        mean_interval(
            list(
                by_target((entry.run.target, _number(scores, column, entry.run)) for entry, scores in members).values()
            )
        )
        for column in columns
    )
    return Row(
        label=label,
        cells=cells,
        details=_common(study)
        | {
            "N_TARGETS": str(len(targets)),
            "N_RUNS": str(len(members)),
            "TARGETS": " ".join(targets),
            "MISSING_TARGETS": " ".join(missing),
        },
    )


def _common(study: Study) -> dict[str, str]:
    return {"SCORING": study.scoring_words, "STAGE_RULE": str(study.rule)}


def _distinct(candidates: Sequence[Sequence[str]]) -> list[str]:
    """A label a row: its first part, and as many of the others, in brackets, as it takes to tell all rows apart."""
    longest = max((len(parts) for parts in candidates), default=0)
    labels: list[str] = []
    for count in range(1, longest + 1):
        # A part that all rows share tells nothing.
        useful = [i for i in range(1, count) if len({tuple(parts[i : i + 1]) for parts in candidates}) > 1]
        details = [", ".join(parts[i] for i in useful if parts[i]) for parts in candidates]
        labels = [f"{parts[0]} ({more})" if more else parts[0] for parts, more in zip(candidates, details, strict=True)]
        if len(set(labels)) == len(labels):
            break
    return labels
