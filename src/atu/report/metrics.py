"""Every number of a run by name: scores as the benchmarks describe them, and numbers of training."""

from __future__ import annotations

from functools import cache

from atu.benchmarks.catalog import BENCHMARKS
from atu.benchmarks.metrics import score_words
from atu.methods.words import TRAINING_WORDS
from atu.records import Words
from atu.text.metric_words import Metric, MetricWords, joined


def all_words() -> MetricWords:
    """The words of all numbers."""
    return _words_with(tuple(BENCHMARKS))


@cache
def _words_with(benchmarks: tuple[str, ...]) -> MetricWords:
    return joined([score_words(), TRAINING_WORDS])


def describe(name: str) -> Metric:
    """What a score or metric means, such as `train/loss`; an unknown name gets a neutral description."""
    return all_words().describe(name)


def sort_key(name: str) -> tuple[int, int, str, bool]:
    """Order of names in every table; see `MetricWords.sort_key`."""
    return all_words().sort_key(name)


def family_label(family: str) -> Words:
    """The heading of a family's names; an unknown one is its own."""
    return all_words().family_label(family)
