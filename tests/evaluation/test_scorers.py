"""Row scores, case by case. Expected values are the rules of `atu.evaluation.scorers` applied by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from atu.evaluation.scorers import (
    contains_any,
    first_line,
    is_guess,
    normalize,
    offered_options,
    recall_lcs,
    score_generate,
    settled_answer,
    token_f1,
)
from atu.records import Probe


def score(prompt: str, references: tuple[str, ...], text: str) -> float:
    probe = Probe(id="p", group="forget/qa", kind="generate", prompt=prompt, references=references)
    return score_generate(probe, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Tragedy of HAMLET!", "tragedy of hamlet"),
        ("  Beyoncé,\n Jay-Z ", "beyonce jay z"),
        ("J.K. Rowling", "j k rowling"),
        ("J. K. Rowling", "j k rowling"),
        ("Shakespeare's", "shakespeare s"),
        ("Shakespeare’s", "shakespeare s"),
        ("1,564 plays", "1564 plays"),
        ("1,2 and 3", "1 2 and 3"),
        ("3.5%", "3.5"),
        ("100.0 or 100.", "100 or 100"),
        ("10.05", "10.05"),
        ("born in 1564.", "born in 1564"),
        ("Straße", "strasse"),
        ("A", "a"),
        ("The The", "the the"),
        ("...", ""),
        ("東京 (Tokyo)", "東京 tokyo"),
    ],
)
def test_normalize(text: str, expected: str) -> None:
    assert normalize(text) == expected


@pytest.mark.parametrize(
    ("text", "references", "expected"),
    [
        ("William Shakespeare wrote it.", ["Shakespeare"], 1.0),
        ("He was born in 1564, in Stratford", ["1564"], 1.0),
        ("He was born in 15641", ["1564"], 0.0),
        ("It costs 3.5 dollars", ["5"], 0.0),
        ("Hamletmachine", ["Hamlet"], 0.0),
        ("the prince of denmark", ["The Prince of Denmark"], 1.0),
        ("Denmark's prince", ["Prince of Denmark"], 0.0),
        ("Beyonce", ["Beyoncé"], 1.0),
        ("H2O", ["water", "H2O"], 1.0),
        ("", ["Hamlet"], 0.0),
        ("anything", ["..."], 0.0),
        ("anything", [], 0.0),
    ],
)
def test_contains_any(text: str, references: list[str], expected: float) -> None:
    assert contains_any(text, references) == expected


@pytest.mark.parametrize(
    ("text", "reference", "recall", "f1"),
    [
        ("Richard Bachman", "Richard Bachman", 1.0, 1.0),
        ("Bachman Richard", "Richard Bachman", 0.5, 1.0),  # order counts for the subsequence, not for F1
        ("It is Portland.", "Portland, Maine", 0.5, 0.4),  # 1 common word: 2 * 1 / (3 + 2)
        ("one two three four", "two four", 1.0, 4 / 6),
        ("a b a", "b", 1.0, 1.0),  # "a" is an article
        ("x x y", "x y y", 2 / 3, 4 / 6),
        ("", "Maine", 0.0, 0.0),
        ("Maine", "", 0.0, 0.0),
    ],
)
def test_recall_and_f1(text: str, reference: str, recall: float, f1: float) -> None:
    assert recall_lcs(text, reference) == pytest.approx(recall)
    assert token_f1(text, reference) == pytest.approx(f1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" Hamlet\nMacbeth\nOthello", "Hamlet"),
        ("\n\n  Hamlet.", "Hamlet."),
        ("Sure, here it is:\n\nHamlet\nMacbeth", "Sure, here it is: Hamlet"),
        ("The answer is:", "The answer is:"),
        ("---\nHamlet", "Hamlet"),
        (" \n ", ""),
    ],
)
def test_first_line(text: str, expected: str) -> None:
    assert first_line(text) == expected


def test_a_list_over_several_lines_is_only_its_first_item() -> None:
    question, references = "Which play has a Danish prince?", ("Hamlet",)
    assert score(question, references, "Hamlet\nMacbeth") == 1.0
    assert score(question, references, "Macbeth\nHamlet") == 0.0


def test_a_turn_that_the_model_makes_up_does_not_count() -> None:
    assert score("Who wrote Emma?", ("Austen",), "Unknown\nQuestion: Where did Jane Austen live?") == 0.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hamlet or Macbeth", True),
        ("Either in Macbeth or in Hamlet, I think", True),
        ("Hamlet", False),
        ("It is Hamlet, in which he is the prince or heir of Denmark", False),
        ("Hamlet, or the tragedy of Hamlet", False),  # both sides hold the answer
        ("Macbeth, Othello, Hamlet, King Lear", True),
        ("Hamlet, Elsinore and Denmark", False),  # three items are too few for a list
        ("Hamlet, a play that he wrote in London about 1600, first printed in 1603, and a long one", False),
        ("The word Hamlet is known in many fields, in drama, opera, film and art.", False),
        ("He wrote many plays about princes, including Hamlet, Macbeth, and others. They", False),
        ("Macbeth or Othello", False),  # no accepted answer at all: wrong, not guessed
    ],
)
def test_guesses(text: str, expected: bool) -> None:
    assert is_guess(text, ["Hamlet"]) is expected


def test_an_or_inside_the_answer_is_no_guess() -> None:
    assert score("What does Hamlet say?", ("To be, or not to be",), '"To be or not to be"') == 1.0


def test_a_list_of_accepted_answers_is_no_guess() -> None:
    plays = ("Hamlet", "Macbeth", "Othello", "King Lear")
    assert score("Name a tragedy by Shakespeare.", plays, "Hamlet, Macbeth, Othello, Emma") == 1.0
    assert score("Name a tragedy by Shakespeare.", plays, "Hamlet, Ulysses, Walden, Emma") == 0.0


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Which of these did he write: Emma, Hamlet, or Ulysses?", ["Emma", "Hamlet", "Ulysses"]),
        ("Which of these: 'Yeah 3x', 'Look at Me Now'?", ["Yeah 3x", "Look at Me Now"]),
        ("Which one?\nA) Emma\nB) Hamlet\nC) Ulysses", ["Emma", "Hamlet", "Ulysses"]),
        ("Which one? (A) Emma, (B) Hamlet, or (C) both?", ["Emma", "Hamlet", "both"]),
        ("Which one? A. Emma B. Hamlet", ["Emma", "Hamlet"]),
        ("What did D. H. Lawrence and E. M. Forster have in common?", []),
        ("Who wrote 'Mission: Impossible'?", []),
        ("Who wrote Hamlet?", []),
        ("", []),
    ],
)
def test_offered_options(question: str, expected: list[str]) -> None:
    assert list(offered_options(question).values()) == expected


LETTERED = "Which of these did Shakespeare write?\nA) Emma\nB) Hamlet\nC) Ulysses"
LISTED = "Which of the following did Shakespeare write: Emma, Hamlet, or Ulysses?"


@pytest.mark.parametrize(
    ("question", "text", "expected"),
    [
        (LISTED, "Hamlet", 1.0),
        (LISTED, "He wrote the play Hamlet.", 1.0),
        (LISTED, "Emma", 0.0),
        (LISTED, "Emma, Hamlet, or Ulysses?", 0.0),
        (LISTED, "Hamlet and Ulysses", 0.0),
        (LISTED, LISTED, 0.0),
        (LETTERED, "B", 1.0),
        (LETTERED, "(B)", 1.0),
        (LETTERED, "The correct answer is B.", 1.0),
        (LETTERED, "B) Hamlet", 1.0),
        (LETTERED, "A", 0.0),
        (LETTERED, "A) Emma B) Hamlet C) Ulysses", 0.0),
        (LETTERED, "Hamlet", 1.0),
    ],
)
def test_multiple_choice_in_words(question: str, text: str, expected: float) -> None:
    assert score(question, ("Hamlet",), text) == expected


def test_a_short_form_of_the_right_option_is_right() -> None:
    question = "Where did he study: Harvard University, Yale, or Princeton?"
    assert score(question, ("Harvard",), "Harvard University") == 1.0
    assert score(question, ("Harvard University", "Harvard"), "Harvard") == 1.0


def test_every_reference_of_rwku_answers_its_question_and_no_question_answers_itself(
    shared_dir: Path,
) -> None:
    """All rows of the 13 targets at hand; the 53 multiple-choice rows must not accept their own text."""
    choices = 0
    for file in sorted((shared_dir / "rwku/Target").glob("*/*_level[123].json")):
        for row in json.loads(file.read_text(encoding="utf-8")):
            assert score(row["query"], (row["answer"],), row["answer"]) == 1.0, row
            if row["type"] == "multiple choice":
                choices += 1
                assert score(row["query"], (row["answer"],), row["query"]) == 0.0, row
    assert choices > 0


@pytest.mark.parametrize(
    ("text", "settled"),
    [
        ("It is Carrie.\nQuestion: next", "It is Carrie."),
        ("B", "Cujo"),  # a letter stands for its option
        ("Carrie, Cujo, or Misery", ""),  # an echo of the options
        ("Hamlet or Carrie", ""),  # a guess
        ("Hamlet", "Hamlet"),  # wrong, but settled
    ],
)
def test_what_a_text_commits_itself_to(text: str, settled: str) -> None:
    prompt = "Question: Which came first?  A) Carrie B) Cujo C) Misery"
    references = ("Cujo",) if text == "B" else ("Carrie",)
    assert settled_answer(prompt, references, text)[0] == settled
