"""The comparison table and the paired comparison; `table_formats.py` writes them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from atu.benchmarks.comparison import GAP, MAX_FORGET_KEPT, number, signed
from atu.records import RunRecord, Score
from atu.report.metrics import describe
from atu.report.selection import NEIGHBOR, UTILITY, Rule, before, select, value
from atu.report.statistics import Estimate, by_target, mean_interval, paired
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

    @property
    def heading(self) -> str:
        """Name and direction."""
        return f"{self.name} {self.metric.arrow}"


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
"""Always there in csv, in this order; elsewhere a column without any number is left out."""
GENERAL = Column("UTILITY_GENERAL", "utility/gen")
DEGENERATE = Column("DEGENERATE", "degenerate/forget")
LIKELIHOODS = (
    Column("P_FORGET", "p/forget@known"),
    Column("P_NEIGHBOR", "p/neighbor@known"),
    Column("P_UTILITY", "p/utility@known"),
    Column("NLL_FORGET", "nll/forget@known"),
    Column("NLL_NEIGHBOR", "nll/neighbor@known"),
    Column("NLL_UTILITY", "nll/utility@known"),
)
"""Behind the others, where a run has them. `utility/gen` of another benchmark than RWKU is not MMLU."""

BEFORE = "before"
"""Label of the reference model."""
PAIRED_SCORES = (NEIGHBOR, UTILITY)
PAIRED_LIKELIHOODS = ("p/neighbor@known", "p/utility@known")
"""Compared, too, where a run has them."""
_ENDS = ("LOW", "HIGH", "N")
_PAIRED_CSV = (
    "METHOD_A",
    "METHOD_B",
    "SCORE",
    "TARGET",
    "A",
    "B",
    "DIFFERENCE",
    "LOW",
    "HIGH",
    "WILCOXON_P",
    "N_TARGETS",
)
_PAIRED = ("A", "B", "score", "A − B, mean", "95% bootstrap interval", "Wilcoxon p", "targets", "A − B by target")


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table in two forms, with the same rows or, in a paired comparison, with one more row per target in `values`."""

    values: pd.DataFrame
    """For programs: plain numbers, NaN for a gap, and what each row is."""
    shown: pd.DataFrame
    """For people: text with the decimals that count, `GAP` for a gap. The first column names the row."""
    title: str
    """Scoring and rule, which stand on every form of the table."""
    notes: tuple[str, ...]

    @property
    def lines(self) -> list[list[str]]:
        """The headings, then the rows, as they are shown."""
        return [list(self.shown.columns), *self.shown.to_numpy().tolist()]


def title(study: Study) -> str:
    """What stands on every table and figure."""
    return f"Scoring: {study.scoring_words}. Shown: {study.rule}."


def run_table(study: Study) -> Table:
    """One row per run, and one per target for the reference, which each run asked anew."""
    columns = _columns(study)
    names = [column.name for column in columns]
    runs = pd.DataFrame(_line(entry, entry.node.scores, columns) for entry in study.entries)
    asked = pd.DataFrame(_line(entry, _before_scores(entry), columns) for entry in study.entries)
    reference = asked.groupby(["TARGET", "MODEL"], sort=False)[names].mean().dropna(how="all").reset_index()
    reference = reference.assign(METHOD=BEFORE, STAGE=BEFORE, SEED="", RUN="", seed="", source="")
    runs["METHOD"] = _distinct(runs[["METHOD", "TARGET", "seed", "RUN", "source"]])
    reference["METHOD"] = _distinct(reference[["METHOD", "TARGET", "MODEL"]])
    rows = pd.concat([reference, runs]).assign(**_common(study))
    shown = {
        column.heading: [number(cell, column.metric.unit) for cell in rows[column.name]]
        for column in columns
        if rows[column.name].notna().any()
    }
    return Table(
        values=rows[["METHOD", *names, *_common(study), "STAGE", "TARGET", "MODEL", "SEED", "RUN"]],
        shown=pd.DataFrame({"METHOD": list(rows["METHOD"]), **shown}),
        title=title(study),
        notes=study.notes,
    )


def aggregate_table(study: Study) -> Table:
    """One row per method: means over its targets, each target once, with n and t interval; and the reference model."""
    columns = _columns(study)
    models = sorted({entry.run.model for entry in study.entries})
    notes, rows = [*study.notes, *unequal_runs(study)], []
    for model in models:
        asked = [(e, _before_scores(e)) for e in study.entries if e.run.model == model and _before_scores(e)]
        if asked:
            rows.append(_mean_row(study, BEFORE if len(models) == 1 else f"{BEFORE}, {model}", asked, columns))
    for variant, entries in study.variants.items():
        missing = [target for target in study.targets if target not in {entry.run.target for entry in entries}]
        if missing:
            notes.append(f"{variant} has no run of {', '.join(missing)}: its means are over other targets")
        rows.append(_mean_row(study, variant, [(e, e.node.scores) for e in entries], columns, missing))
    values, shown = (pd.DataFrame(part) for part in zip(*rows, strict=True))
    empty = [column.heading for column in columns if values[column.name].isna().all()]
    return Table(
        values=values,
        shown=shown.drop(columns=empty),
        title=f"{title(study)} Mean over targets (seeds first) ± half of the 95% t interval.",
        notes=tuple(notes),
    )


def paired_table(study: Study) -> Table:
    """Every two methods at matched forgetting: one row per pair and score, in `values` one row per target before it.

    The level is that of the study's rule or, without one, the level that counts as forgotten.
    """
    rule = study.rule if study.rule.kind == "matched" else Rule(kind="matched", level=MAX_FORGET_KEPT / 100)
    points = {
        variant: [(entry.run.target, select(entry.stages, rule).scores) for entry in entries]
        for variant, entries in study.variants.items()
    }
    values: list[dict[str, str | float]] = []
    shown, unmatched = [], []
    found = {name for scored in points.values() for _, scores in scored for name in scores}
    names = (*PAIRED_SCORES, *(name for name in PAIRED_LIKELIHOODS if name in found))
    for (first, second), name in itertools.product(itertools.combinations(points, 2), names):
        metric = describe(name)
        a, b = (by_target((target, value(scores, name)) for target, scores in points[v]) for v in (first, second))
        both = pd.DataFrame({"A": a, "B": b, "DIFFERENCE": a - b}).dropna()
        mean, low, high, p, n = paired(both["DIFFERENCE"])
        pair: dict[str, str | float] = {"METHOD_A": first, "METHOD_B": second, "SCORE": name}
        values += [{**pair, "TARGET": target, **row} for target, row in both.to_dict("index").items()]
        result = {"DIFFERENCE": mean, "LOW": low, "HIGH": high, "WILCOXON_P": p, "N_TARGETS": n}
        values.append({**pair, "TARGET": "(mean)", **result})
        if n == 0:
            unmatched.append(f"{first} and {second}: no target has {metric.label.en} of both at this level")
            continue
        unit = metric.unit
        interval = GAP if math.isnan(low) else f"{signed(low, unit)} to {signed(high, unit)}"
        each = ", ".join(f"{target} {signed(gap, unit)}" for target, gap in both["DIFFERENCE"].items())
        p_shown = GAP if math.isnan(p) else f"{p:.3f}"
        label = f"{metric.label.en} {metric.arrow}"
        shown.append((first, second, label, signed(mean, unit), interval, p_shown, str(n), each))
    return Table(
        values=pd.DataFrame(values, columns=_PAIRED_CSV),
        shown=pd.DataFrame(shown, columns=_PAIRED),
        title=f"Scoring: {study.scoring_words}. Differences at {rule}.",
        notes=tuple(unmatched) if shown or unmatched else ("a comparison needs two methods",),
    )


def _line(entry: Entry, scores: Mapping[str, Score], columns: Sequence[Column]) -> dict[str, str | float]:
    """Scores of a run and what it is; the keys in small letters are in no file."""
    run, seed = entry.run, "" if entry.run.seed is None else str(entry.run.seed)
    return {
        "METHOD": entry.variant,
        **{column.name: _number(scores, column, run) for column in columns},
        "STAGE": entry.node.label,
        "TARGET": run.target,
        "MODEL": run.model,
        "SEED": seed,
        "RUN": run.name,
        "seed": seed and f"seed {seed}",
        "source": run.source,
    }


def _columns(study: Study) -> tuple[Column, ...]:
    """The fixed columns, and those behind them that a run has a number for."""
    has_general = any(not _is_rwku(e.run) and UTILITY in e.node.scores for e in study.entries)
    found = {name for entry in study.entries for name in entry.node.scores}
    others = tuple(column for column in (DEGENERATE, *LIKELIHOODS) if column.score in found)
    return COLUMNS + (GENERAL,) * has_general + others


def _is_rwku(run: RunRecord) -> bool:
    """Whether the scores are RWKU's; a file that does not say so has its columns from there."""
    data = run.config.get("data")
    return not isinstance(data, Mapping) or data.get("benchmark", "rwku") == "rwku"


def _number(scores: Mapping[str, Score], column: Column, run: RunRecord) -> float:
    if column.score == UTILITY and (column == GENERAL) == _is_rwku(run):
        return math.nan
    return value(scores, column.score)


def _before_scores(entry: Entry) -> Mapping[str, Score]:
    stage = before(entry.stages)
    return {} if stage is None else stage.scores


def _mean_row(
    study: Study,
    label: str,
    members: Sequence[tuple[Entry, Mapping[str, Score]]],
    columns: Sequence[Column],
    missing: Sequence[str] = (),
) -> tuple[dict[str, str | float], dict[str, str]]:
    """A row of `values` and one of `shown`."""
    targets = sorted({entry.run.target for entry, _ in members})
    means = {
        column: mean_interval(by_target((e.run.target, _number(scores, column, e.run)) for e, scores in members))
        for column in columns
    }
    numbers = {column.name: mean.value for column, mean in means.items()}
    ends = {f"{c.name}_{end}": at for c, mean in means.items() for end, at in zip(_ENDS, mean[1:], strict=True)}
    details: dict[str, str | float] = {"N_TARGETS": len(targets), "N_RUNS": len(members)}
    names = {"TARGETS": " ".join(targets), "MISSING_TARGETS": " ".join(missing)}
    cells = {column.heading: _mean(mean, column, len(targets)) for column, mean in means.items()}
    return (
        {"METHOD": label} | numbers | ends | _common(study) | details | names,
        {"METHOD": label, "n": str(len(targets))} | cells,
    )


def _mean(mean: Estimate, column: Column, num_targets: int) -> str:
    """A mean as it is shown; over fewer targets than its row has, their number is told."""
    text = number(mean.value, column.metric.unit)
    if not math.isnan(mean.low):
        text += f" ± {number(mean.value - mean.low, column.metric.unit)}"
    return text if text == GAP or mean.n == num_targets else f"{text} (n={mean.n})"


def _common(study: Study) -> dict[str, str]:
    return {"SCORING": study.scoring_words, "STAGE_RULE": str(study.rule)}


def _distinct(parts: pd.DataFrame) -> list[str]:
    """A label a row: its first part, and as many of the others, in brackets, as it takes to tell all rows apart."""
    labels = list(parts.iloc[:, 0])
    for count in range(2, parts.shape[1] + 1):
        if len(set(labels)) == len(labels):
            break
        # A part that all rows share tells nothing.
        others = parts.iloc[:, 1:count].loc[:, lambda part: part.nunique() > 1]
        details = [", ".join(filter(None, row)) for row in others.itertuples(index=False)]
        labels = [f"{first} ({more})" if more else first for first, more in zip(parts.iloc[:, 0], details, strict=True)]
    return labels
