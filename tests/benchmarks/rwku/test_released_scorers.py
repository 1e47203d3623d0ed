"""Values that the released code gave when it was run; tests/golden runs every recorded case."""

from __future__ import annotations

import math

import pytest

from atu.benchmarks.rwku import released_scorers as released
from atu.benchmarks.rwku.fluency import token_fluency, word_tokens


@pytest.mark.parametrize(
    ("completion", "reference", "recall"),
    [
        ("carrie", "Carrie", 0),
        ("Carrie,", "Carrie", 0),
        ("The answer is Carrie.", "Carrie", 1),
        ("Bachman Richard", "Richard Bachman", 0.5),
        ("J. K. Rowling wrote it", "J.K. Rowling", 1),
        ("the the cat", "the cat the", 0.5),
        ("Portland in Maine", "Portland, Maine", 0.5),
        ("U.S. army", "U.S. Army", 2 / 3),
        ("a b. c d", "c d a b", 1),
    ],
)
def test_rouge_recall(completion: str, reference: str, recall: float) -> None:
    assert released.rouge_l(completion, reference).recall == pytest.approx(recall)


def test_an_empty_completion_counts_as_no_answer() -> None:
    assert released.strip_completion(" \n") == "NOANSWER"
    score = released.rouge_l("  ", "Carrie")
    assert (score.recall, score.degenerate) == (0.0, False)


def test_full_stops_alone_score_nothing_and_are_degenerate() -> None:
    """The released code raises ValueError and stops the whole evaluation."""
    assert released.rouge_l("...", "Carrie") == released.OverlapScore(
        recall=0.0, precision=0.0, f1=0.0, degenerate=True
    )


@pytest.mark.parametrize(
    ("prediction", "answer", "as_released", "fixed"),
    [
        ("(A)", "(B)", 1, 0),
        ("(B)", "(A)", 0, 0),
        ("B", "(B)", 1, 1),
        ("True", "True", 0, 1),
        ("16", "16", 0, 1),
        ("] )", "] )", 1, 1),
    ],
)
def test_bbh_compares_with_single_characters(prediction: str, answer: str, as_released: float, fixed: float) -> None:
    assert released.bbh_match(prediction, answer).exact == as_released
    assert released.bbh_match_fixed(prediction, answer).exact == fixed


def test_fluency_by_hand() -> None:
    # Pairs ab ba ab bc: entropy 1.5. Triples aba bab abc: log2 3.
    fluency = token_fluency(["a", "b", "a", "b", "c"])
    assert (fluency.h2, fluency.h3) == pytest.approx((1.5, math.log2(3)))
    assert fluency.score == pytest.approx(1.55664, abs=1e-5)
    assert token_fluency(["again"] * 50).score == 0.0


def test_words_are_split_at_sentence_ends_without_a_download() -> None:
    """Without a sentence model NLTK keeps `here.` as one word inside a text."""
    assert word_tokens("He is here. Mr. King left.") == ["He", "is", "here", ".", "Mr.", "King", "left", "."]
