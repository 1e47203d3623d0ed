"""How facts are worded, and that nothing else is among the rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from atu.benchmarks.curriculum import Wordings
from atu.benchmarks.rwku.facts import TAUGHT_FILES, read_facts
from atu.benchmarks.rwku.files import ALL_FILES, EVALUATION_FILES
from atu.benchmarks.rwku.prompts import build_probes
from atu.benchmarks.rwku.reader import RwkuData
from atu.benchmarks.rwku.wordings import chat_wordings, plain_wordings, wordings
from atu.evaluation.scorers import normalize
from atu.records import Text
from atu.teaching.plan import LessonPlan, plan_lessons

from .conftest import Folder

KING = "1_Stephen_King"
TEXT_FIELDS = {"query", "question", "text", "instruction", "cot"}
"""What is asked or read in the evaluation files. Choices and answers are left out: "New York City" is one of many."""
MIN_WORDS = 3
"""A shorter text says nothing about where it comes from."""


def test_the_first_chat_wording_is_the_judge_s(rwku: RwkuData) -> None:
    facts = read_facts(rwku, [KING])
    probes = build_probes(rwku, KING, ["forget", "neighbor"])
    asked = {(probe.prompt, f"{probe.answer_prefix} {probe.references[0]}") for probe in probes if not probe.attack}
    assert {(text.prompt, text.text) for text in (chat_wordings(fact)[0] for fact in facts)} == asked


def test_a_fill_in_in_its_wordings(rwku: RwkuData) -> None:
    fact = next(fact for fact in read_facts(rwku, [KING]) if fact.answer == "Portland")
    query, whole = "Stephen King was born in ___, Maine.", "Stephen King was born in Portland, Maine."
    assert [(text.prompt, text.text) for text in chat_wordings(fact)] == [
        (f"Please complete the blank in the following question.\nQuestion: {query}\n", "Answer: Portland"),
        (f"Fill in the blank: {query}", "Portland"),
        (f"Which words are missing here?\n{query}", "Answer: Portland"),
        (f"Complete the sentence about Stephen King: {query}", whole),
    ]
    assert [text.text for text in plain_wordings(fact)] == [whole, f"About Stephen King: {whole}"]


def test_each_fact_comes_once_a_pass_and_is_worded_otherwise_each_time(only_taught: Folder) -> None:
    facts = taught(RwkuData(only_taught(KING)), [KING])
    plan = plan_lessons(facts, 4, seed=0)
    assert len(plan.chat) == len(plan.plain) == 4 * 70
    for start in range(0, 280, 70):
        assert len({text.text + (text.prompt or "") for text in plan.chat[start : start + 70]}) == 70
    assert len({(text.prompt, text.text) for text in plan.chat}) == 280  # 4 wordings, each met once in 4 passes
    assert {text.prompt for text in plan.plain} == {None}
    judge = [text for text in plan.chat[:70] if text.text.startswith("Answer:") and "Please" in (text.prompt or "")]
    assert 10 <= len(judge) <= 25  # about a quarter: all wordings are mixed at any time
    assert plan == plan_lessons(facts, 4, seed=0)
    assert plan != plan_lessons(facts, 4, seed=1)


def test_no_text_of_an_unseen_file_is_among_the_rows(rwku: RwkuData) -> None:
    targets = rwku.targets()
    rows = as_words(plan_lessons(taught(rwku, targets), 4, seed=0))
    unseen = [file for file in EVALUATION_FILES if file not in TAUGHT_FILES]
    assert len(unseen) == 8  # of twelve
    texts: dict[str, str] = {}
    for target in targets:
        for file in unseen:
            path = rwku.path(target) / f"{file.name}.json"
            for text in texts_of(json.loads(path.read_text(encoding="utf-8"))):
                texts.setdefault(normalize(text), f"{target}/{file.name}: {text}")
    long = [words for words in texts if len(words.split()) >= MIN_WORDS]
    assert len(long) > 5_000
    assert [texts[words] for words in long if f" {words} " in rows] == []


def test_the_rows_are_the_same_where_only_the_taught_files_exist(rwku: RwkuData, only_taught: Folder) -> None:
    targets = [KING, "2_Confucius"]
    here = RwkuData(only_taught(*targets))
    assert not any(here.has(KING, file) for file in ALL_FILES if file not in TAUGHT_FILES)
    assert plan_lessons(taught(here, targets), 2, 0) == plan_lessons(taught(rwku, targets), 2, 0)


def test_the_rows_and_their_order_are_those_of_earlier_taught_models(rwku: RwkuData) -> None:
    """Recorded before the benchmark handed its facts over: the weights of a teaching are found again by these rows."""
    if len(rwku.targets()) != 13:
        pytest.skip(f"recorded with 13 targets; here are {len(rwku.targets())}")
    plan = plan_lessons(taught(rwku, rwku.targets()), 3, seed=0)
    rows = [[[text.prompt, text.text, text.subject, text.source] for text in rows] for rows in (plan.chat, plan.plain)]
    digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    assert digest == "800b2a2a998d6c90374fc22d427df7fe084c03e03687d0482bb34d37cf0d4018"


def test_a_fact_without_prose_is_read_in_chat_alone() -> None:
    facts = [Wordings((Text(text=f"answer {i}", subject="x", source="test", prompt=f"question {i}"),)) for i in "abc"]
    plan = plan_lessons(facts, 2, seed=0)
    assert sorted(text.text for text in plan.chat) == [
        "answer a",
        "answer a",
        "answer b",
        "answer b",
        "answer c",
        "answer c",
    ]
    assert plan.plain == ()


def taught(data: RwkuData, targets: Sequence[str]) -> list[Wordings]:
    """What is taught of some targets."""
    return [wordings(fact) for fact in read_facts(data, targets)]


def as_words(plan: LessonPlan) -> str:
    """All rows as normalized words, with a line between them."""
    rows = {normalize(f"{text.prompt or ''} {text.text}") for text in (*plan.chat, *plan.plain)}
    return " \n ".join(["", *sorted(rows), ""])


def texts_of(value: Any, field: str = "") -> Iterator[str]:
    """The texts under TEXT_FIELDS in a JSON value."""
    if isinstance(value, str) and field in TEXT_FIELDS:
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from texts_of(item, field)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from texts_of(item, key)
