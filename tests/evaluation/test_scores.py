"""Aggregation: names, values by hand, intervals against known distributions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from atu.evaluation.scores import bootstrap_mean, summarize
from atu.records import Answer


def row(number: int, group: str, score: float, **fields: object) -> Answer:
    defaults: dict[str, object] = {"degenerate": False, "known_before": False, "values": {}}
    return Answer(
        probe_id=f"t/{group}/{number}",
        group=group,
        prompt="?",
        text="!",
        score=score,
        **{**defaults, **fields},  # type: ignore[arg-type]
    )


ANSWERS = [
    row(0, "forget/fb", 1.0, known_before=True, values={"nll": 0.5, "p": 0.75}),
    row(1, "forget/fb", 0.0, known_before=True, values={"nll": 1.5, "p": 0.25}, degenerate=True),
    row(2, "forget/fb", 0.0),
    row(3, "forget/qa", 1.0, degenerate=True),
    row(4, "neighbor/qa", 1.0, known_before=True, values={"nll": 0.25}),
    row(5, "neighbor/qa", 0.5, known_before=None),
    row(6, "utility/gen", 1.0, values={"choice": 2.0, "margin": 1.0}),
    row(7, "mia/fm", 0.0, known_before=None, values={"loss": 2.0}),
    row(8, "mia/fm", 0.0, known_before=None, values={"loss": 3.0}),
]


def test_values_by_hand() -> None:
    scores = summarize(ANSWERS, samples=100)
    assert {name: (pytest.approx(score.value), score.n) for name, score in scores.items()} == (
        {
            "forget/fb": (100 / 3, 3),
            "forget/qa": (100.0, 1),
            "forget/all": (50.0, 4),  # rows pooled: 2 of 4, not the mean of 33 and 100
            "neighbor/qa": (75.0, 2),
            "neighbor/all": (75.0, 2),
            "utility/gen": (100.0, 1),
            "forget/fb@known": (50.0, 2),
            "forget/all@known": (50.0, 2),
            "neighbor/qa@known": (100.0, 1),
            "neighbor/all@known": (100.0, 1),
            "mia/fm": (2.5, 2),  # nats, not percent
            "degenerate/forget": (50.0, 4),
            "degenerate/neighbor": (0.0, 2),
            "nll/forget@known": (1.0, 2),
            "nll/neighbor@known": (0.25, 1),
            "p/forget@known": (0.5, 2),  # 0..1; the neighbor's answer, of an older run, has none
        }
    )


def test_no_rows_no_score() -> None:
    assert summarize([], samples=100) == {}


def test_a_chosen_answer_is_never_degenerate_and_does_not_thin_the_share() -> None:
    assert "degenerate/utility" not in summarize(ANSWERS, samples=100)


def test_the_order_of_rows_does_not_matter_for_values_and_names() -> None:
    def values(answers: list[Answer]) -> dict[str, float]:
        return {name: score.value for name, score in summarize(answers, samples=10).items()}

    assert values(ANSWERS[::-1]) == values(ANSWERS)


def test_intervals_are_the_same_each_time_and_whatever_stands_beside() -> None:
    alone = summarize([answer for answer in ANSWERS if answer.group == "forget/fb"], samples=500)
    beside = summarize(ANSWERS, samples=500)
    assert alone["forget/fb"] == beside["forget/fb"] == summarize(ANSWERS, samples=500)["forget/fb"]
    assert summarize(ANSWERS, samples=500, seed=1)["forget/fb"].value == beside["forget/fb"].value


def test_one_row_has_an_interval_of_no_width() -> None:
    score = bootstrap_mean([75.0], name="x", samples=50, seed=0)
    assert (score.value, score.n, score.low, score.high) == (75.0, 1, 75.0, 75.0)


def test_interval_equals_the_exact_binomial_one() -> None:
    """The mean of resampled 0/1 rows is binomial: its percentiles are known exactly."""
    score = bootstrap_mean([100.0] * 30 + [0.0] * 20, name="x", samples=20_000, seed=0)
    exact = stats.binom(50, 0.6).ppf([0.025, 0.975]) / 50 * 100
    assert score.value == pytest.approx(60.0)
    assert [score.low, score.high] == pytest.approx(exact, abs=1e-9)


def test_interval_agrees_with_scipy() -> None:
    values = np.random.default_rng(7).normal(2.0, 1.0, size=80)
    ours = bootstrap_mean(list(values), name="nll", samples=20_000, seed=0)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert [ours.low, ours.high] == pytest.approx([theirs.low, theirs.high], abs=0.01)
