from __future__ import annotations

from collections.abc import Sequence

import pytest

from atu.benchmarks.privacy import MEMBERS, OTHERS, PRIVACY_SCORES, PRIVACY_WORDS, privacy_scores
from atu.evaluation.likelihood import TokenStatistics
from atu.evaluation.membership import RELEASED_SPREAD, attack_values, zlib_bytes
from atu.records import Answer


def answers(members: Sequence[float], others: Sequence[float], **more: float) -> list[Answer]:
    """Texts with these losses, which are their Min-K scores too."""
    return [
        Answer(
            probe_id=f"{group}/{number}",
            group=group,
            prompt="a text",
            text="",
            score=0.0,
            degenerate=False,
            values={"loss": loss, "min_k": loss, **more},
        )
        for group, losses in ((MEMBERS, members), (OTHERS, others))
        for number, loss in enumerate(losses)
    ]


def test_against_a_gold_model_by_hand() -> None:
    # Pairs in which the member has the lower loss: 3 of 4; of the gold model 1 of 4.
    scores = privacy_scores(answers([1.0, 3.0], [2.0, 4.0]), answers([3.0, 5.0], [4.0, 1.0]), samples=50)
    assert scores["privacy/auc_min_k"].value == scores["privacy/auc_loss"].value == 75.0
    # Differences: members -2, -2; others -2, 3. One tie, one won for each member.
    assert scores["privacy/auc_reference"].value == 75.0
    assert scores["privacy/gap"].value == 50.0
    assert scores["privacy/leak"].value == pytest.approx(100 * (0.25 - 0.75) / 0.75)
    assert all(score.n == 4 and score.low <= score.value <= score.high for score in scores.values())


def test_without_a_gold_model_only_the_released_rules_give_a_leak() -> None:
    own = answers([1.0, 3.0], [2.0, 4.0], gradnorm=1.0)
    assert privacy_scores(own, None, samples=10).keys() == {f"privacy/auc_{a}" for a in ("loss", "min_k", "gradnorm")}
    assert privacy_scores(own, None, samples=10, is_released=True)["privacy/leak"].value == pytest.approx(-50.0)
    assert privacy_scores(own[:2], None, samples=10) == {}


def test_every_score_has_words() -> None:
    for name in (*PRIVACY_SCORES, MEMBERS, OTHERS, "memorization/strength", "memorization/exact"):
        metric = PRIVACY_WORDS.describe(name)
        assert metric.short.en != metric.short.zh
        assert metric.direction == ("lower" if name.startswith("memorization/") else "none")


def test_released_attacks_leave_out_the_last_token() -> None:
    tokens = TokenStatistics(
        logprobs=(-1.0, -2.0, -9.0), means=(-1.0, -1.0, -1.0), spreads=(1.0, 0.0, 1.0), right=(True, True, False)
    )
    corrected, released = (attack_values(tokens, "a text", is_released=which) for which in (False, True))
    assert corrected["loss"] == released["loss"] == 4.0
    assert corrected["zlib"] == released["zlib"] == 4.0 / zlib_bytes("a text")
    # 0.4 of three tokens, and of two: the lowest one.
    assert (corrected["min_k"], released["min_k"]) == (9.0, 2.0)
    assert (corrected["min_k++"], released["min_k++"]) == (8.0, pytest.approx(1 / RELEASED_SPREAD))
    single = TokenStatistics(logprobs=(-3.0,), means=(-1.0,), spreads=(1.0,), right=(True,))
    assert attack_values(single, "x", is_released=True)["min_k"] == 0.0
    assert attack_values(single, "x")["min_k"] == 3.0
