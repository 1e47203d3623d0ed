from __future__ import annotations

import pytest

from atu.evaluation.rouge import rouge


def test_by_hand() -> None:
    """The longest common subsequence of `the cats were sleeping` and `the cat sleeping soundly`."""
    plain = rouge("The cats were sleeping.", "the cat, sleeping soundly", use_stemmer=False)
    assert (plain.rouge1_recall, plain.rougeL_recall, plain.rougeL_f1) == (2 / 4, 2 / 4, 0.5)
    stemmed = rouge("The cats were sleeping.", "the cat, sleeping soundly", use_stemmer=True)
    assert stemmed.rougeL_recall == 3 / 4  # cats and cat have one stem
    assert stemmed.rougeL_f1 == pytest.approx(0.75)


def test_order_counts_for_the_subsequence_alone() -> None:
    found = rouge("one two three four", "three one", use_stemmer=False)
    assert (found.rouge1_recall, found.rougeL_recall) == (2 / 4, 1 / 4)
    assert found.rougeL_f1 == pytest.approx(2 * (1 / 4) * (1 / 2) / (1 / 4 + 1 / 2))


def test_an_empty_text_has_none() -> None:
    assert rouge("a truth", "", use_stemmer=True).rougeL_f1 == 0.0
