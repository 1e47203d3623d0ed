"""Means, t intervals and paired comparisons, by hand."""

from __future__ import annotations

import math

import pytest

from atu.report.statistics import by_target, mean_interval, paired


def test_mean_and_t_interval_of_two_values() -> None:
    # 10 and 20: standard deviation 7.0711, standard error 5; t(0.975, 1) = 12.7062 by any table.
    estimate = mean_interval([10, 20])
    assert estimate.value == 15
    assert estimate.low == pytest.approx(15 - 5 * 12.7062, abs=1e-3)
    assert estimate.high == pytest.approx(15 + 5 * 12.7062, abs=1e-3)
    assert estimate.n == 2


def test_t_interval_of_five_values() -> None:
    # 1..5: standard deviation sqrt(2.5), standard error sqrt(0.5) = 0.70711; t(0.975, 4) = 2.7764.
    estimate = mean_interval([1, 2, 3, 4, 5])
    assert estimate.high - estimate.value == pytest.approx(2.7764 * 0.70711, abs=1e-3)


def test_one_value_has_no_interval_and_none_has_no_mean() -> None:
    one = mean_interval([7.0])
    assert (one.value, one.n) == (7, 1)
    assert math.isnan(one.low)
    nothing = mean_interval([math.nan])
    assert math.isnan(nothing.value)
    assert nothing.n == 0


def test_a_gap_is_no_zero() -> None:
    estimate = mean_interval([10, math.nan, 20])
    assert (estimate.value, estimate.n) == (15, 2)


def test_each_target_counts_once_however_many_seeds_it_has() -> None:
    # Japan's three seeds have the mean 20; Egypt's one has 60: the mean over targets is 40, and not (60 + 60) / 4 = 30.
    targets = by_target([("Japan", 10), ("Japan", 20), ("Japan", 30), ("Egypt", 60)])
    assert targets.to_dict() == {"Japan": 20, "Egypt": 60}
    assert mean_interval(targets).value == 40


def test_a_target_of_which_a_seed_is_missing_is_a_gap() -> None:
    targets = by_target([("Japan", 10), ("Japan", math.nan), ("Egypt", 60)])
    assert math.isnan(targets["Japan"])
    assert targets["Egypt"] == 60


def test_bootstrap_of_two_differences() -> None:
    # Resamples of (0, 10) have the means 0, 5 and 10 with 1/4, 1/2, 1/4: the 2.5% and 97.5% points are 0 and 10.
    result = paired([0.0, 10.0])
    assert (result.mean, result.low, result.high, result.n) == (5, 0, 10, 2)


def test_wilcoxon_of_five_differences_of_one_sign() -> None:
    # Only one of 2^5 sign patterns is as extreme, and its mirror: p = 2 / 32.
    assert paired([1.0, 2.0, 3.0, 4.0, 5.0]).p == pytest.approx(2 / 32)


def test_wilcoxon_of_one_outlier() -> None:
    # Ranks 1 to 5, only rank 1 negative: sums 1 and 14. Patterns with a sum of at most 1: {} and {1}; p = 2 * 2 / 32.
    assert paired([-1.0, 2.0, 3.0, 4.0, 5.0]).p == pytest.approx(4 / 32)


def test_two_targets_can_never_be_significant() -> None:
    assert paired([30.0, 40.0]).p == 0.5


def test_one_difference_has_no_interval() -> None:
    result = paired([4.0])
    assert (result.mean, result.n, result.p) == (4, 1, 1)
    assert math.isnan(result.low)


def test_no_difference_at_all() -> None:
    assert math.isnan(paired([]).mean)
    assert paired([]).n == 0
    same = paired([0.0, 0.0])
    assert (same.mean, same.low, same.high) == (0, 0, 0)
    assert math.isnan(same.p)


def test_the_interval_is_the_same_every_time() -> None:
    assert paired([1.0, 2.0, 4.0]) == paired([1.0, 2.0, 4.0])
