from __future__ import annotations

import math

import pytest

from atu.benchmarks.rwku.membership import SHARES, corrected_membership, released_membership
from atu.evaluation.likelihood import TokenStatistics
from atu.evaluation.membership import zlib_bytes

FIVE = TokenStatistics(
    logprobs=(-1.0, -5.0, -2.0, -3.0, -4.0), means=(-2.0,) * 5, spreads=(0.5, 2.0, 1.0, 1.0, 1.0), right=()
)


def test_by_hand() -> None:
    scores = released_membership("five", FIVE)
    assert scores is not None
    assert scores.loss == -3.0
    assert scores.zlib == -3.0 / zlib_bytes("five")
    # 0.4 of 5 tokens: the lowest two. Standardised: 2, -1.5, 0, -1, -2.
    assert scores.mink[SHARES.index(0.4)] == pytest.approx((-5 - 4) / 2)
    assert scores.minkpp[SHARES.index(0.4)] == pytest.approx((-2 - 1.5) / 2)
    assert scores.get("mink") == -5.0  # a share of 0.2: one token
    assert scores.get("loss") == -3.0


def test_a_short_text_has_min_k_of_at_least_one_token() -> None:
    """Released: a tenth of five tokens is none, and the mean of nothing is NaN."""
    released, corrected = released_membership("five", FIVE), corrected_membership("five", FIVE)
    assert released is not None
    assert corrected is not None
    assert math.isnan(released.mink[0])
    assert (corrected.mink[0], corrected.minkpp[0]) == (-5.0, -2.0)
    assert corrected.mink[1:] == released.mink[1:]
    assert corrected.minkpp[1:] == released.minkpp[1:]


def test_a_distribution_without_spread_says_nothing() -> None:
    """Released: division by zero, so NaN or infinity."""
    flat = TokenStatistics(logprobs=(-1.0, -2.0), means=(-1.0, -1.0), spreads=(0.0, 1.0), right=())
    released, corrected = released_membership("flat", flat), corrected_membership("flat", flat)
    assert released is not None
    assert corrected is not None
    assert math.isnan(released.minkpp[-1])
    assert corrected.minkpp[-1] == pytest.approx(-0.5)


def test_a_text_of_one_token_has_no_score() -> None:
    nothing = TokenStatistics(logprobs=(), means=(), spreads=(), right=())
    assert released_membership("one", nothing) is None
    assert corrected_membership("one", nothing) is None


def test_released_skips_a_broken_text() -> None:
    broken = TokenStatistics(logprobs=(math.nan, -1.0), means=(-1.0, -1.0), spreads=(1.0, 1.0), right=())
    assert released_membership("broken", broken) is None
