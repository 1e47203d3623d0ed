"""Questions that a model asks about one name, put to another."""

from __future__ import annotations

import random

from atu.benchmarks.questions import WAYS_TO_ASK
from atu.benchmarks.quiz import Quiz, ask_of, question_forms, quizzes


def forms_of(*written: tuple[str, str]) -> list[str]:
    return question_forms([Quiz(name, "", text) for name, text in written], random.Random(0))


def test_each_name_is_asked_for_lists_that_begin_differently() -> None:
    asked = quizzes(["Peru", "Chile"])
    assert [quiz.name for quiz in asked] == ["Peru"] * 4 + ["Chile"] * 4
    assert len({quiz.text for quiz in asked[:4]}) == 4
    assert all(quiz.name in quiz.prompt for quiz in asked)


def test_a_question_is_taken_with_its_name_left_open() -> None:
    text = "1. What is the capital of Peru?\n2. Who rules Peru's towns? 3. Where lies\nthe rest"
    assert sorted(forms_of(("Peru", text))) == ["What is the capital of {name}?", "Who rules {name}'s towns?"]


def test_what_more_names_are_asked_comes_first() -> None:
    lists = [("Peru", "1. What is Peru?\n2. Where is Peru?"), ("Chile", "1. Where is Chile?\n2. Which sea has Chile?")]
    assert forms_of(*lists)[0] == "Where is {name}?"
    assert forms_of(*lists, lists[0])[0] == "Where is {name}?"  # the same name twice counts once


def test_a_question_without_its_name_or_with_the_name_elsewhere_is_none() -> None:
    assert forms_of(("Peru", "1. What is a llama?")) == []
    assert forms_of(("Peru", "1. What is the Peruvian flag?")) == []
    assert forms_of(("Peru", "1. Who came from Peru to Peru?")) == []
    assert forms_of(("Peru", "1. What does {x} mean in Peru?")) == []
    assert forms_of(("Peru", "Peru is a country. Is Peru a country?")) == []


def test_a_person_may_be_named_by_the_last_name_and_a_thing_may_not() -> None:
    assert forms_of(("Ann Lee", "1. Who was Lee's mother?")) == ["Who was {name}'s mother?"]
    assert forms_of(("the liver", "1. What does a liver do?")) == []
    assert forms_of(("the liver", "1. What does the liver do?")) == ["What does {name} do?"]


def test_half_of_the_rows_ask_what_is_asked_most() -> None:
    forms = [f"What is {{name}} {i}?" for i in range(10)]
    requests = ask_of("Peru", forms, 6, random.Random(0))
    assert len({request.prompt for request in requests}) == 6
    assert {request.subject for request in requests} == {"Peru"}
    assert all(f"What is Peru {i}?" in request.prompt for i, request in enumerate(requests[:3]))
    ways = {way.format(question=f"What is Peru {i}?") for way in WAYS_TO_ASK for i in range(10)}
    assert {request.prompt for request in requests} <= ways


def test_few_forms_make_few_rows() -> None:
    assert len(ask_of("Peru", ["What is {name}?"], 100, random.Random(0))) == 1
    assert ask_of("Peru", [], 100, random.Random(0)) == []
    assert ask_of("Peru", ["What is {name}?"], 0, random.Random(0)) == []
