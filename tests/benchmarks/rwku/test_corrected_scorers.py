"""Each correction beside the released score that it mends."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from atu.benchmarks.rwku import corrected_scorers as corrected
from atu.benchmarks.rwku import released_scorers as released
from atu.benchmarks.rwku.files import RETAIN_BBH
from atu.benchmarks.rwku.reader import RwkuData
from atu.benchmarks.rwku.rows import Choices, TruthfulRow


@pytest.mark.parametrize(
    ("completion", "reference", "as_released", "mended"),
    [
        ("carrie", "Carrie", 0, 1),
        ("Carrie,", "Carrie", 0, 1),
        ("Portland in Maine", "Portland, Maine", 0.5, 1),
        ("U.S. army", "U.S. Army", 2 / 3, 1),
        ("Bachman Richard", "Richard Bachman", 0.5, 0.5),
        (" Beyonce\n", "Beyoncé", 0, 1),
        ("It\nQuestion: Who wrote Carrie?", "Carrie", 0, 0),
        ("...", "Carrie", 0, 0),
    ],
)
def test_recall_minds_neither_case_nor_punctuation(
    completion: str, reference: str, as_released: float, mended: float
) -> None:
    assert released.rouge_l(completion, reference).recall == pytest.approx(as_released)
    assert corrected.word_score(completion, [reference]).recall == pytest.approx(mended)


def test_a_hedged_list_does_not_count_as_knowledge() -> None:
    """Released: recall 1, for a list as for the answer alone."""
    hedged, plain = "Misery or Cujo or It or Christine or Carrie", "Carrie"
    assert released.rouge_l(hedged, "Carrie").recall == 1
    assert corrected.word_score(plain, ["Carrie"]).f1 == 1
    assert corrected.word_score(hedged, ["Carrie"]).f1 == pytest.approx(2 / (9 + 1))  # one word of nine


def test_the_best_reference_counts() -> None:
    assert corrected.word_score("the Benchley", ["Peter Benchley", "Benchley"]) == corrected.WordScore(
        recall=1.0, f1=1.0
    )


@pytest.mark.parametrize(
    ("completion", "answer", "as_released", "mended"),
    [
        ("So the answer is True.", "True", 0, True),  # released: compared with T, r, u, e
        ("So the answer is e.", "True", 1, False),
        ("So the answer is 16.", "16", 0, True),
        ("So the answer is 6.", "16", 1, False),
        ("So the answer is (A).", "(B)", 1, False),  # released: `a` is an article, a bracket is nothing
        ("So the answer is the.", "(B)", 1, False),
        ("So the answer is 7.", "-7", 1, False),  # released: the minus is punctuation
        ("So the answer is ].", ") )", 1, False),
        ("so the answer is (B)", "(B)", 0, True),  # released: needs a full stop
        ("THE ANSWER IS (B).", "(B)", 0, True),
    ],
)
def test_bbh(completion: str, answer: str, as_released: float, mended: bool) -> None:
    assert released.bbh_match(completion, answer).exact == as_released
    assert corrected.bbh_correct(completion, answer) is mended


@pytest.mark.parametrize(
    ("completion", "answer", "right"),
    [
        ("B", "(B)", True),
        ("(b) the red one.", "(B)", True),
        ("B) the red one", "(B)", True),
        ("**(B)**", "(B)", True),
        ("A red one", "(A)", False),
        ("Beth", "(B)", False),
        ("yes", "Yes", True),
        ("No, because", "No", False),
        ("The answer is 1,960.", "1960", True),
        ("The answer is 3.5 apples.", "3", False),
        ("The answer is apple, banana.", "apple banana", True),
        ("The answer is > } ].", ">}]", True),
        ("\nTrue\n\nQ: not False is", "True", True),
        ("...", "(A)", False),
        ("", "True", False),
    ],
)
def test_bbh_answers_are_compared_whole(completion: str, answer: str, right: bool) -> None:
    assert corrected.bbh_correct(completion, answer) is right


def test_the_right_answers_of_the_real_data_score_100_percent(shared_dir: Path) -> None:
    """The released score gives the same texts about 69%."""
    data = RwkuData(shared_dir / "rwku")
    rows = [row for folder in data.targets() for row in data.read(folder, RETAIN_BBH)]
    texts = [f"Let's think step by step. So the answer is {row.answer}." for row in rows]
    pairs = list(zip(texts, rows, strict=True))
    assert len(rows) == 13 * 81
    assert all(corrected.bbh_correct(text, row.answer) for text, row in pairs)
    mean = sum(released.bbh_match(text, row.answer).exact for text, row in pairs) / len(rows)
    assert mean == pytest.approx(0.693, abs=0.01)


def test_mc2_of_long_choices_is_a_number() -> None:
    """Released: exp(-900) is 0, so 0 / 0."""
    choices = Choices(choices=("t", "f"), labels=(1, 0))
    row = TruthfulRow(question="?", mc1=choices, mc2=choices)
    logprobs = {"t": -900.0, "f": -901.0}
    assert math.isnan(released.truthful_mc2(row, logprobs))
    assert corrected.truthful_mc2(row, logprobs) == pytest.approx(1 / (1 + math.exp(-1)))
    near = {"t": -5.0, "f": -6.0}
    assert corrected.truthful_mc2(row, near) == pytest.approx(released.truthful_mc2(row, near))
