"""LUME's scores from answers alone; no model, no torch. All in percent; the organisers print shares of 1."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from atu.benchmarks.lume.probes import FAMILIES, GROUPS, KINDS
from atu.benchmarks.lume.scorers import final_score, membership_interval, task_aggregate
from atu.benchmarks.privacy import privacy_scores
from atu.evaluation.scores import bootstrap_mean, summarize
from atu.records import UNFINISHED, Answer, Score

_FORGET = tuple(group for group in GROUPS if group.startswith("forget/"))
_MMLU = "utility/mmlu"


def lume_scores(
    rows: Sequence[Answer], gold: Sequence[Answer] | None, utility: Mapping[str, Score], *, samples: int
) -> dict[str, Score]:
    """Every score of one model under one scoring.

    Args:
        rows: answers to LUME's own probes.
        gold: those of a model that never knew the forget set, to the same probes.
        utility: scores of lm-evaluation-harness, such as `utility/mmlu`.
    """
    scores = dict(summarize(rows, samples=samples)) | dict(utility)
    scores |= privacy_scores(rows, gold, samples=samples)
    graded = [row for row in rows if UNFINISHED not in row.values]
    columns = {group: [row.score for row in graded if row.group == group] for group in GROUPS}
    for family in FAMILIES.values():
        for kind in KINDS.values():
            name = f"{family}/{kind}"
            pooled = [100 * value for group, rows in columns.items() if group.startswith(f"{name}_") for value in rows]
            if pooled:
                scores[name] = bootstrap_mean(pooled, name=name, samples=samples, seed=0)
    if all(columns.values()):
        scores["lume/task_aggregate"] = _of_means(
            [columns[group] for group in GROUPS], _aggregate, name="lume/task_aggregate", samples=samples
        )
    if gold is not None:
        other = {group: [row.score for row in gold if row.group == group] for group in _FORGET}
        pairs = [list(zip(columns[g], other[g], strict=True)) for g in _FORGET if len(columns[g]) == len(other[g]) > 0]
        if pairs:
            scores["lume/gap"] = _of_means(pairs, _gap, name="lume/gap", samples=samples)
    if "privacy/auc_loss" in scores:
        scores["lume/mia"] = membership_interval(scores["privacy/auc_loss"])
    parts = ("lume/task_aggregate", "lume/mia", _MMLU)
    if all(part in scores for part in parts):
        scores["lume/final"] = final_score([scores[part] for part in parts])
    return scores


def _of_means(
    groups: Sequence[Sequence[object]], value_of: Callable[[np.ndarray], float], *, name: str, samples: int
) -> Score:
    """100 x a number made of the means of groups of rows, with its interval: rows are resampled within each group.

    Args:
        groups: rows of numbers, or of pairs of them.
        value_of: from the means of all groups, in their order, to the number.
    """
    draws = np.random.default_rng([0, zlib.crc32(name.encode())])
    arrays = [np.asarray(rows, dtype=np.float64) for rows in groups]
    resampled = np.stack(
        [rows[draws.integers(len(rows), size=(samples, len(rows)))].mean(axis=1) for rows in arrays], axis=1
    )
    numbers = [100 * value_of(means) for means in resampled]
    low, high = np.percentile(numbers, [2.5, 97.5])
    value = 100 * value_of(np.stack([rows.mean(axis=0) for rows in arrays]))
    return Score(value=value, n=sum(map(len, arrays)), low=float(low), high=float(high))


def _aggregate(means: np.ndarray) -> float:
    """Of the means of GROUPS."""
    return task_aggregate(means[: len(_FORGET)].tolist(), means[len(_FORGET) :].tolist())


def _gap(means: np.ndarray) -> float:
    """Mean distance of the groups' means from the gold model's; `means` has one column for each of the two."""
    return float(np.abs(means[:, 0] - means[:, 1]).mean())
