"""MUSE's scores from answers alone; no model, no torch. All in percent but the mean losses (nats per token)."""

from __future__ import annotations

from collections.abc import Sequence

from atu.benchmarks.muse.prompts import VERBATIM
from atu.benchmarks.privacy import privacy_scores
from atu.evaluation.scores import bootstrap_mean, summarize
from atu.records import Answer, Score

_MEMORIZED = {"memorization/strength": "strength", "memorization/exact": "exact"}
"""Score to the value of an answer."""


def muse_scores(
    rows: Sequence[Answer], gold: Sequence[Answer] | None, *, samples: int, is_released: bool
) -> dict[str, Score]:
    """Every score of one model under one scoring.

    Args:
        gold: answers of a model that never knew the corpus, to the same probes.
        is_released: give PrivLeak without a gold model as well.
    """
    scores = summarize(rows, samples=samples)
    for name, value in _MEMORIZED.items():
        column = [100 * row.values[value] for row in rows if row.group == VERBATIM and value in row.values]
        if column:
            scores[name] = bootstrap_mean(column, name=name, samples=samples, seed=0)
    return scores | privacy_scores(rows, gold, samples=samples, is_released=is_released)
