from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from atu.evaluation.membership import (
    MembershipSample,
    loss,
    membership_auc,
    min_k,
    min_k_plus_plus,
    privacy_leak,
    privacy_leak_score,
    zlib_bytes,
    zlib_ratio,
)

FIVE = (-1.0, -5.0, -2.0, -3.0, -4.0)
MEANS = (-2.0,) * 5
SPREADS = (0.5, 2.0, 1.0, 1.0, 1.0)


def test_attacks_by_hand() -> None:
    assert loss(FIVE) == 3.0
    assert zlib_ratio(3.0, "five") == 3.0 / zlib_bytes("five")
    # 0.4 of five tokens: the two lowest. Standardised: 2, -1.5, 0, -1, -2.
    assert min_k(FIVE) == (5 + 4) / 2
    assert min_k_plus_plus(FIVE, MEANS, SPREADS) == (2 + 1.5) / 2


def test_a_share_is_one_token_at_least() -> None:
    assert min_k(FIVE, share=0.1) == 5.0
    assert math.isnan(min_k(FIVE, share=0.1, least=0))


def test_a_distribution_without_spread() -> None:
    """A token that is 0.5 nats below the mean of a distribution that has no spread."""
    flat = ((-1.0, -1.5), (-1.0, -1.0), (1.0, 0.0))
    assert min_k_plus_plus(*flat, share=1.0) == 0.0
    assert min_k_plus_plus(*flat, share=1.0, least_spread=1e-3) == pytest.approx(0.5 / 1e-3 / 2)
    assert math.isinf(min_k_plus_plus(*flat, share=1.0, least_spread=0.0))


def test_auc_by_hand() -> None:
    # Pairs (member, other) of losses: (1, 0) lost, (1, 2) won, (2, 0) lost, (2, 2) tied: 1.5 of 4.
    score = membership_auc([1.0, 2.0], [0.0, 2.0], samples=200)
    assert (score.value, score.n) == (37.5, 4)
    assert score.low <= 37.5 <= score.high
    assert membership_auc([1.0, 2.0], [8.0, 9.0], samples=50).value == 100.0  # members have the lower losses
    assert membership_auc([3.0, 3.0], [3.0, 3.0], samples=50).value == 50.0


def test_auc_interval_is_the_bootstrap_within_each_set() -> None:
    """The same resamples through scikit-learn, one at a time."""
    rng = np.random.default_rng(5)
    members, others = rng.normal(0.4, 1, 30).round(1), rng.normal(0, 1, 20).round(1)
    score = membership_auc(members.tolist(), others.tolist(), samples=400, seed=7)
    aucs = resampled(members, others, seed=7)
    assert (score.low, score.high) == pytest.approx(tuple(np.quantile(aucs, (0.025, 0.975))))


def resampled(members: np.ndarray, others: np.ndarray, *, seed: int) -> list[float]:
    draw = np.random.default_rng(seed)
    rows = draw.multinomial(len(members), np.full(len(members), 1 / len(members)), size=400)
    columns = draw.multinomial(len(others), np.full(len(others), 1 / len(others)), size=400)
    labels = [0] * len(members) + [1] * len(others)
    return [
        100 * float(roc_auc_score(labels, [*members, *others], sample_weight=[*row, *column]))
        for row, column in zip(rows, columns, strict=True)
    ]


def test_privacy_leak_by_hand() -> None:
    """Of the golden files: a model that remembers all beside its retain model, and one against no model."""
    assert privacy_leak(100.0, 71.52777777777779) == pytest.approx(-100.0, abs=1e-6)
    assert privacy_leak(60.0, 50.0) == pytest.approx(100 * (0.4 - 0.5) / 0.5)
    assert privacy_leak(6.25) == pytest.approx(87.4999999825, abs=1e-9)
    assert privacy_leak(55.0, 55.0) == 0.0


def test_privacy_leak_draws_the_same_texts_for_both_models() -> None:
    rng = np.random.default_rng(6)
    own = MembershipSample(members=rng.normal(-0.5, 1, 12).tolist(), others=rng.normal(0, 1, 15).tolist())
    gold = MembershipSample(members=rng.normal(0, 1, 12).tolist(), others=rng.normal(0, 1, 15).tolist())
    same = privacy_leak_score(own, own, samples=100)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    score = privacy_leak_score(own, gold, samples=400, seed=3)
    pairs = zip(
        resampled(np.asarray(own.members), np.asarray(own.others), seed=3),
        resampled(np.asarray(gold.members), np.asarray(gold.others), seed=3),
        strict=True,
    )
    expected = np.quantile([privacy_leak(*pair) for pair in pairs], (0.025, 0.975))
    assert (score.low, score.high) == pytest.approx(tuple(expected))
    assert score.n == 27
    alone = privacy_leak_score(own, None, samples=10)
    assert alone.value == privacy_leak(membership_auc(own.members, own.others, samples=1).value)
