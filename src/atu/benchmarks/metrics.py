"""The scores of all benchmarks: what each means, their order in tables, and every name that there is. No torch here."""

from __future__ import annotations

from functools import cache

from atu.benchmarks.catalog import BENCHMARKS
from atu.evaluation.score_words import SCORE_WORDS, score_names
from atu.text.metric_words import KNOWN_SUFFIX, Metric, MetricWords, joined


def score_words() -> MetricWords:
    """The words of the scores that any probes give, and of those that single benchmarks add."""
    return _words_of(tuple(BENCHMARKS))


@cache
def _words_of(names: tuple[str, ...]) -> MetricWords:
    return joined([SCORE_WORDS, *(BENCHMARKS[name].words for name in names)])


def describe(name: str) -> Metric:
    """What a score means, such as `forget/all@known`; an unknown name gets a neutral description."""
    return score_words().describe(name)


def sort_key(name: str) -> tuple[int, int, str, bool]:
    """Order of scores in every table; see `MetricWords.sort_key`."""
    return score_words().sort_key(name)


def known_names() -> frozenset[str]:
    """Every score name that a benchmark gives, to find typing errors in files written by hand."""
    return frozenset(
        name
        for benchmark in BENCHMARKS.values()
        for name in (*score_names(benchmark.groups), *benchmark.further_scores)
    )


def is_main(name: str) -> bool:
    """Whether a table of many runs shows a score at first: those of whole groups of probes, and no details."""
    groups = {group for benchmark in BENCHMARKS.values() for group in benchmark.groups}
    family, _, kind = name.partition("/")
    described = score_words().families.get(family)
    if name.endswith(KNOWN_SUFFIX) or (described is not None and described.is_detail):
        return False
    return name in groups or kind == "all" or family not in {group.partition("/")[0] for group in groups}
