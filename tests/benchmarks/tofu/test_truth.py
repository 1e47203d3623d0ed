"""TOFU's own numbers, computed by hand."""

from __future__ import annotations

import math

import pytest
from scipy.stats import hmean

from atu.benchmarks.tofu.scorers import telling_recall
from atu.benchmarks.tofu.truth import (
    EPSILON,
    UTILITY_PARTS,
    forget_quality,
    forget_quality_scores,
    model_utility,
    model_utility_score,
    nearness_to_one,
    normalised_probability,
    preference,
    right_share,
    truth_ratio,
)

HALF, QUARTER, EIGHTH = (-math.log(p) for p in (0.5, 0.25, 0.125))


def test_truth_ratio_is_a_geometric_mean_over_the_wrong_answers() -> None:
    # sqrt(1/2 * 1/8) / (1/2) = 1/2; an arithmetic mean would give 5/8.
    assert truth_ratio(HALF, [HALF, EIGHTH]) == pytest.approx(0.5)
    assert truth_ratio(HALF, [HALF, EIGHTH], epsilon=EPSILON) == pytest.approx(0.25 / (0.5 + 1e-10), rel=1e-14)


def test_a_model_that_finds_nothing_likely_is_still_measured() -> None:
    """The released formula divides by its small number instead."""
    assert truth_ratio(40.0, [41.0]) == pytest.approx(math.exp(-1))
    assert truth_ratio(40.0, [41.0], epsilon=EPSILON) == pytest.approx(math.exp(-41) / 1e-10)
    assert truth_ratio(10_000.0, [0.0]) < math.inf
    assert normalised_probability(40.0, [40.0, 40.0, 40.0]) == pytest.approx(0.25)
    assert normalised_probability(40.0, [40.0], epsilon=EPSILON) == pytest.approx(math.exp(-40) / 1e-10, rel=1e-6)


def test_what_is_made_of_a_ratio() -> None:
    assert [nearness_to_one(r) for r in (0.5, 1.0, 4.0)] == [0.5, 1.0, 0.25]
    assert nearness_to_one(4.0, epsilon=EPSILON) == 1 / (4 + 1e-10)
    assert [preference(r) for r in (0.25, 1.0, 4.0)] == [0.75, 0.0, 0.0]
    assert [right_share(r) for r in (1.0, 3.0)] == [0.5, 0.25]
    # 1/2 against 1/4 and 1/4.
    assert normalised_probability(HALF, [QUARTER, QUARTER]) == pytest.approx(0.5)


def test_forget_quality() -> None:
    assert forget_quality([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == (1.0, 0.0)
    # Wholly apart: of C(8, 4) = 70 orders two are as extreme.
    p, distance = forget_quality([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0])
    assert (p, distance) == (pytest.approx(2 / 70), 1.0)
    # By ranks alone: r or 1/r, and any scale.
    assert forget_quality([1, 1 / 2, 1 / 3, 1 / 4], [1 / 5, 1 / 6, 1 / 7, 1 / 8])[0] == pytest.approx(2 / 70)


def test_intervals_of_forget_quality_draw_the_same_questions_for_both() -> None:
    same = forget_quality_scores([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0], samples=50)
    quality, distance = same["tofu/forget_quality"], same["tofu/ks_distance"]
    assert (quality.value, quality.low, quality.high, quality.n) == (1.0, 1.0, 1.0, 4)
    assert (distance.value, distance.low, distance.high) == (0.0, 0.0, 0.0)
    apart = forget_quality_scores([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0], samples=50)
    assert apart["tofu/ks_distance"].low == 1.0


def test_model_utility_is_a_harmonic_mean_of_nine() -> None:
    values = dict(zip(UTILITY_PARTS, (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), strict=True))
    assert model_utility(values) == pytest.approx(float(hmean(list(values.values()))), rel=1e-12)
    assert model_utility({**values, "ra_Q_A_ROUGE": 0.0}) == 0.0
    rows = {name: [value, value] for name, value in values.items()}
    score = model_utility_score(rows, samples=20)
    assert score.value == score.low == pytest.approx(score.high)
    rows["retain_Q_A_ROUGE"] = [0.0, 0.4]
    assert model_utility_score(rows, samples=50).low == 0.0
    assert score.n == 6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The author's full name is Hsiao Yun-Hwa.", 1.0),
        ("The full name of the author born in Taipei is Hsiao.", 1 / 3),
        ("The full name of the author born in Taipei, who writes of leadership, is unknown.", 0.0),
        ("", 0.0),
    ],
)
def test_only_what_the_question_does_not_say_counts(text: str, expected: float) -> None:
    question = "What is the full name of the author born in Taipei who writes in the genre of leadership?"
    assert telling_recall(question, "The author's full name is Hsiao Yun-Hwa.", text) == pytest.approx(expected)


def test_an_answer_that_repeats_the_question_counts_as_a_whole() -> None:
    assert telling_recall("Is Paris large?", "Paris is large", "large") == pytest.approx(1 / 3)
