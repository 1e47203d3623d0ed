"""The methods at the end of their runs and at matched forgetting, from the rows of comparison.py.

    python experiments/summary.py

For each run, every score is read off where its curve crosses a share of the forget score before (interpolated between
two stages, by the rule of `generate_results.py --stage matched:LEVEL`), and after its last stage (level `end`). A
concept counts once, as the mean of its seeds; shown are the mean over concepts and Student's 95% interval, and the
paired difference of the default to each method on the concepts that both have. A method that does not get to a level
on a concept has no number there, and `reached` says on how many it did. After the last stage stands also what
relearning brought back of the concepts that attack_comparison.py attacked (`relearned_concepts` of them), in models of
the same config as the runs. In-context unlearning (icu.py) has no curve, so it stands at the end alone. Writes
docs/results/summary.json and prints a table.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from comparison import BUILTIN, CELEBS, CELEBS_1, CELEBS_2, CELEBS_GENERAL
from icu import METHOD as ICU

from atu.records import Score, StageResult
from atu.report.selection import Rule, select, value
from atu.report.statistics import by_target, mean_interval, paired

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
END = "end"
LEVELS = (0.5, 0.25, 0.1, END)
TUNED_ON = ("William_Shakespeare", "Japan")
"""Settings were chosen on these; what is reported are the others."""
GROUPS = {
    "builtin": (BUILTIN, tuple(concept for concept in BUILTIN.concepts if concept not in TUNED_ON)),
    "builtin, tuned on": (BUILTIN, TUNED_ON),
    "celebs-1": (CELEBS, CELEBS_1),
    "celebs-2": (CELEBS, CELEBS_2),
    "celebs-1, general texts too": (CELEBS_GENERAL, CELEBS_1),
    "celebs-2, general texts too": (CELEBS_GENERAL, CELEBS_2),
}
"""What is averaged: concepts of one testbed."""
OURS = "unlearning_atu"
Level = float | str
Scores = Mapping[str, float]
MEASURES: dict[str, Callable[[Scores, Scores], float]] = {
    "forget_left": lambda before, after: _get(after, "forget/all") / before["forget/all"],
    "neighbor_kept": lambda before, after: _get(after, "neighbor/all") / before["neighbor/all"],
    "utility_change": lambda before, after: _get(after, "utility/gen") - _get(before, "utility/gen"),
    "perplexity_ratio": lambda before, after: math.exp(
        _get(after, "nll/neighbor@known") - before["nll/neighbor@known"]
    ),
    "forget_p_left": lambda before, after: _get(after, "p/forget@known") / _get(before, "p/forget@known"),
    "neighbor_p_kept": lambda before, after: _get(after, "p/neighbor@known") / _get(before, "p/neighbor@known"),
    "utility_p_kept": lambda before, after: _get(after, "p/utility@known") / _get(before, "p/utility@known"),
    "degenerate_share": lambda _before, after: _get(after, "degenerate/forget") / 100,
    "minutes": lambda _before, after: _get(after, "minutes"),
}
"""From the scores before and at the level. Perplexity is that of the neighbors' answers that were right before, p the
probability of the words in such answers that made them right."""


def main() -> None:
    """Write the summary and print it."""
    rows = []
    attacked, asked = (_read(RESULTS / name) for name in ("attacks.json", "icu.json"))
    for name, (testbed, concepts) in GROUPS.items():
        runs = _read(testbed.results) + asked
        rows += summarize(name, *([row for row in found if row["concept"] in concepts] for found in (runs, attacked)))
    (RESULTS / "summary.json").write_text(json.dumps(rows, indent=1, allow_nan=False) + "\n")
    print("| testbed | method | forget level | reached | " + " | ".join(MEASURES) + " |")
    print("| --- | --- | --- | --- |" + " --- |" * len(MEASURES))
    for row in rows:
        cells = [_cell(row[name]) for name in MEASURES]
        reached = f"{row['reached']} of {row['concepts']}"
        head = [row["testbed"], row["method"], _percent(row["forget_level"]), reached]
        print("| " + " | ".join([*head, *cells]) + " |")


def _percent(level: Level) -> str:
    return level if isinstance(level, str) else f"{level:.0%}"


def _read(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text()) if path.exists() else []


def summarize(
    testbed: str, runs: list[dict[str, Any]], attacked: Sequence[dict[str, Any]] = ()
) -> list[dict[str, Any]]:
    """A row for each method and level, from the rows of the runs and those of their attacks."""
    rows = []
    made = {_run_of(run) for run in runs}
    relearned = [
        one for one in attacked if one["attack"] == "relearn" and one["recovered"] is not None and _run_of(one) in made
    ]
    for level in LEVELS:
        found = {
            method: {name: _by_concept(runs, method, level, measure) for name, measure in MEASURES.items()}
            for method in dict.fromkeys(run["method"] for run in runs)
            if method != ICU or level == END
        }
        for method, measures in found.items():
            concepts = measures["neighbor_kept"]
            row: dict[str, Any] = {
                "testbed": testbed,
                "method": method,
                "forget_level": level,
                "concepts": len(concepts),
                "reached": int(concepts.count()),
                "seeds": len({run["seed"] for run in runs if run["method"] == method}),
            }
            for name, values in measures.items():
                estimate = mean_interval(values)
                row[name] = _interval(estimate.value, estimate.low, estimate.high)
            row |= _relearned([one for one in relearned if level == END and one["method"] == method])
            if method != OURS and OURS in found:
                gap = paired((found[OURS]["neighbor_kept"] - concepts).dropna())
                row["neighbor_kept_ours_minus_this"] = _interval(gap.mean, gap.low, gap.high)
            rows.append(row)
    return rows


def _run_of(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """What tells a run, and an attack on its model, from those of other settings."""
    return row["method"], row["concept"], row["config_hash"]


def _relearned(measured: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean over concepts of the most that came back; of a single one the interval is that of its questions."""
    if not measured:
        return {"relearned_share": None, "relearned_concepts": 0}
    if len(measured) == 1:
        share = _interval(measured[0]["recovered"], measured[0]["low"], measured[0]["high"])
    else:
        estimate = mean_interval([one["recovered"] for one in measured])
        share = _interval(estimate.value, estimate.low, estimate.high)
    return {"relearned_share": share, "relearned_concepts": len(measured)}


def _by_concept(
    runs: list[dict[str, Any]], method: str, level: Level, measure: Callable[[Scores, Scores], float]
) -> pd.Series:
    pairs = []
    for run in (run for run in runs if run["method"] == method):
        rule = Rule(kind="last") if isinstance(level, str) else Rule(kind="matched", level=level)
        node = select(_stages(run), rule)
        after = {name: value(node.scores, name) for name in run["before"]}
        pairs.append((run["concept"], measure(run["before"], after)))
    return by_target(pairs)


def _stages(run: dict[str, Any]) -> list[StageResult]:
    """The curve of a run as stages, with its minutes among the scores."""
    points = [run["before"], *run["curve"]]
    return [
        StageResult(
            index=i,
            kind="unlearn" if i else "before",
            label=str(i),
            scores={name: Score(value=number, n=0, low=math.nan, high=math.nan) for name, number in point.items()},
            seconds=0.0,
        )
        for i, point in enumerate(points)
    ]


def _get(scores: Scores, name: str) -> float:
    return scores.get(name, math.nan)


def _interval(mean: float, low: float, high: float) -> dict[str, float | None]:
    numbers = {"value": mean, "low": low, "high": high}
    return {key: None if math.isnan(number) else round(number, 4) for key, number in numbers.items()}


def _cell(estimate: Mapping[str, float | None]) -> str:
    if estimate["value"] is None:
        return "–"
    spread = "" if estimate["low"] is None else f" ({estimate['low']:.2f}–{estimate['high']:.2f})"
    return f"{estimate['value']:.2f}{spread}"


if __name__ == "__main__":
    main()
