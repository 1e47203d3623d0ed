"""Which characters of an answer made it right, and which of its tokens hold them."""

from __future__ import annotations

import pytest

from atu.evaluation.spans import reference_spans
from atu.records import Probe


def probe(*references: str, prompt: str = "Who wrote it?") -> Probe:
    return Probe(id="p", group="forget/qa", kind="generate", prompt=prompt, references=references)


def parts(text: str, *references: str, prompt: str = "Who wrote it?") -> list[str]:
    return [text[first:last] for first, last in reference_spans(probe(*references, prompt=prompt), text)]


@pytest.mark.parametrize(
    ("text", "references", "expected"),
    [
        ("It was written by William Shakespeare.", ["Shakespeare"], ["Shakespeare"]),
        ("William shakespeare's play", ["William Shakespeare"], ["William shakespeare"]),
        ("Stratford-upon-Avon, England", ["Stratford upon Avon"], ["Stratford-upon-Avon"]),
        ("Shakespearean plays by Shakespeare, and Shakespeare", ["Shakespeare"], ["Shakespeare"]),
        ("about 1,564.0 men", ["1564"], ["1,564"]),
        ("« Brontë »", ["Bronte"], ["Brontë"]),
        ("Sure:\nHamlet", ["Hamlet"], ["Hamlet"]),
        ("作者是鲁迅。", ["鲁迅"], ["鲁迅"]),
        ("ハムレットマシーンではなくハムレット", ["ハムレット"], ["ハムレット"]),
        ("세종 대왕은 왕이다", ["세종대왕"], ["세종 대왕"]),
        ("The play is Macbeth.", ["Hamlet"], []),
        ("It is Hamlet or Macbeth.", ["Hamlet"], []),  # a guess, which the scorer does not count
        ("", ["Hamlet"], []),
    ],
)
def test_the_words_that_the_scorer_matched(text: str, references: list[str], expected: list[str]) -> None:
    assert parts(text, *references) == expected


def test_the_place_is_the_one_that_counts() -> None:
    """Not the longer katakana word before, nor a word that only begins so, nor a second mention."""
    text = "ハムレットマシーンではなくハムレット"
    assert reference_spans(probe("ハムレット"), text) == [(len(text) - 5, len(text))]
    assert reference_spans(probe("Shakespeare"), "Shakespearean Shakespeare Shakespeare") == [(14, 25)]


def test_of_several_accepted_references_the_first_in_the_answer_counts_whatever_their_order() -> None:
    text = "It is the Bard, William Shakespeare."
    assert parts(text, "Marlowe", "William Shakespeare", "the Bard") == ["Bard"]  # articles are no words to the scorer
    assert parts(text, "the bard William", "Bard") == ["Bard, William"]  # of those that begin there the longest


def test_an_option_is_named_by_its_words_or_by_its_letter() -> None:
    prompt = "Which of these is his? A) Carrie B) Hamlet"
    assert parts("Hamlet", "Hamlet", prompt=prompt) == ["Hamlet"]
    assert parts("The answer is B.", "Hamlet", prompt=prompt) == ["B"]


def test_where_a_score_is_a_share_of_words_each_of_them_is_a_part() -> None:
    assert parts("Portland in the state of Maine", "Portland, Maine") == ["Portland", "Maine"]
    assert parts("in Portland", "Bangor, Maine", "Portland, Maine") == ["Portland"]


def test_a_choice_is_its_whole_text() -> None:
    choice = Probe(id="p", group="g", kind="choose", prompt="?", references=("Paris", "Rome"), correct=(1,))
    assert reference_spans(choice, "Rome") == [(0, 4)]
