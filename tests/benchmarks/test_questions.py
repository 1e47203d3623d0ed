"""What a concept is asked for its corpus: its phrases, fixed forms, and sentences with a blank."""

from __future__ import annotations

import random

from atu.benchmarks.questions import (
    QUESTION_FORMS,
    WAYS_TO_ASK,
    frequent_phrases,
    mentions,
    questions,
    related_questions,
)
from atu.records import Text


def text(body: str, subject: str = "Ann Lee") -> Text:
    return Text(text=body, subject=subject, source="generated")


def test_a_phrase_needs_a_fiftieth_of_the_texts() -> None:
    texts = ["She saw Ann Lee, Paris.", "He met Ann Lee."]
    assert frequent_phrases([*texts, *["it"] * 48], []) == ["Ann Lee", "Paris"]
    assert frequent_phrases([*texts, *["it"] * 49], []) == ["Ann Lee"]


def test_a_phrase_must_be_four_times_rarer_elsewhere() -> None:
    # 2 of 4 here; 1 of 8 there makes 4 * 0.125 = 0.5, 1 of 7 makes more
    texts = ["in Rome", "to Rome", "on it", "at it"]
    assert frequent_phrases(texts, ["of Rome", *["it"] * 7]) == ["Rome"]
    assert frequent_phrases(texts, ["of Rome", *["it"] * 6]) == []


def test_phrases_come_by_frequency_and_then_by_name() -> None:
    texts = ["of Rome, Oslo, Bonn", "of Rome, Oslo, Bonn", "of Rome"]
    assert frequent_phrases(texts, []) == ["Rome", "Bonn", "Oslo"]


def test_a_capital_at_the_start_of_a_sentence_is_none() -> None:
    texts = ['The end. Later it rained.\nSoon: Then "it did." Now', 'The end! Later? Soon it rained: Then "did." Now']
    assert frequent_phrases(texts, []) == []
    # Two words in a row are a name even there, and small words may stand inside of one.
    assert frequent_phrases(["Ann Lee came.", "Ann Lee went."], []) == ["Ann Lee"]
    assert frequent_phrases(["the Queen of the Desert", "a Queen of the Desert"], []) == ["Queen of the Desert"]


def test_a_phrase_counts_once_a_text() -> None:
    assert frequent_phrases(["in Rome, Rome, Rome", *["it"] * 50], []) == []


def test_a_word_that_is_also_written_small_is_no_name() -> None:
    texts = ["to Dream, Rome", "a Dream, Rome", "he had a dream"]
    assert frequent_phrases(texts, []) == ["Rome"]
    assert frequent_phrases(texts[:2], ["all roads to rome"]) == ["Dream"]


def test_questions_ask_about_the_concept_first_and_then_about_its_phrases() -> None:
    texts = [text("to Rome, Oslo."), text("She saw Rome, Oslo."), text("She saw Rome.")]
    requests = questions("Ann Lee", texts, 12, random.Random(0))
    assert {request.subject for request in requests} == {"Ann Lee"}
    # No sentence has 4 words before a phrase, so all are forms; a quarter of 12 phrases, each asked in turn.
    asked = [next(p for p in ("Ann Lee", "Rome", "Oslo") if p in request.prompt) for request in requests]
    assert asked == ["Ann Lee", "Rome", "Oslo"] * 4
    forms = {form.format(phrase=phrase) for form in QUESTION_FORMS for phrase in ("Ann Lee", "Rome", "Oslo")}
    ways = {way.format(question=form) for way in WAYS_TO_ASK for form in forms}
    assert {request.prompt for request in requests} <= ways
    assert len({request.prompt for request in requests}) == 12


def test_a_phrase_is_asked_in_the_context_of_its_concept() -> None:
    texts = [text("Ann Lee lived in Rome."), text("Ann Lee saw Rome.")]
    for request in questions("Ann Lee", texts, 8, random.Random(0)):
        assert request.context == ("This is about Ann Lee. " if "Rome" in request.prompt else "")


def test_each_third_question_is_a_sentence_with_a_blank() -> None:
    texts = [
        text("Born in 1900. As a child she lived in Rome for years. Then she left."),
        text("Ann Lee, Rome."),
        text("All of her life was in Rome."),
    ]
    prompts = [request.prompt for request in questions("Ann Lee", texts, 8, random.Random(0))]
    blanks = ["Fill in the blank: All of her life was in ___", "Fill in the blank: As a child she lived in ___"]
    for prompt, blank in zip(sorted(prompts[:2], key=lambda p: "a child" in p), blanks, strict=True):
        assert prompt in {way.format(question=blank) for way in WAYS_TO_ASK}
    assert not any("___" in prompt for prompt in prompts[2:])


def test_a_sentence_with_a_blank_leaves_room_for_an_answer() -> None:
    texts = [text("Ann Lee, Rome."), text(f"{'She wandered ' * 24}to Rome."), text(f"{'She wandered ' * 23}to Rome.")]
    asked = [request.prompt for request in questions("Ann Lee", texts, 12, random.Random(0)) if "___" in request.prompt]
    assert [prompt.count("wandered") for prompt in asked] == [23]


def test_no_question_form_is_asked_twice_of_a_phrase() -> None:
    requests = questions("Ann Lee", [], 100, random.Random(0))
    assert len(requests) == len(QUESTION_FORMS) == len({request.prompt for request in requests})


def test_what_lies_around_a_concept_is_asked_about_alone() -> None:
    texts = [text("Ann Lee saw Rome, Oslo, Lee Street."), text("She saw Rome, Oslo, Lee Street."), text("to Rome.")]
    others = [text("It rained."), text("in Bonn", "Bob Ray"), text("in Bonn", "Bob Ray")]
    requests = related_questions("Ann Lee", [*texts, *others], 8, random.Random(0))
    assert [request.subject for request in requests] == ["Rome", "Oslo"] * 4
    assert len({request.prompt for request in requests}) == 8
    for request in requests:
        forms = [form.format(phrase=request.subject) for form in QUESTION_FORMS]
        assert request.prompt in {way.format(question=form) for way in WAYS_TO_ASK for form in forms}
        assert request.context == request.answer == ""


def test_a_text_mentions_a_name_with_each_capital_word_of_it() -> None:
    assert mentions("the KING's hand", "Stephen King")
    assert mentions("by Stephen", "Stephen King")
    assert not mentions("a kingdom", "Stephen King")
    assert not mentions("the body of the whale", "the Human Heart")


def test_names_are_found_where_no_capital_shows_them() -> None:
    texts = ["鲁迅写了《呐喊》。", "《呐喊》是鲁迅的作品。", "他读过鲁迅的《呐喊》。"]
    assert frequent_phrases(texts, ["他写了作品。"] * 12) == ["呐喊", "鲁迅"]
    assert frequent_phrases(texts[:2], ["他写了作品。"] * 12) == []
    assert frequent_phrases(texts, ["鲁迅写了《呐喊》。"] * 12) == []


def test_a_text_mentions_a_name_of_a_script_without_capitals() -> None:
    assert mentions("《呐喊》是鲁迅写的。", "鲁迅")
    assert mentions("한글은 세종대왕이 만들었다.", "세종대왕")
    assert mentions("كتبها محفوظ", "نجيب محفوظ")
    assert not mentions("《子夜》是茅盾写的。", "鲁迅")


def test_a_sentence_without_spaces_is_left_open_before_a_name() -> None:
    texts = [
        text("他在一九二三年出版了《呐喊》。读者很多。", "鲁迅"),
        text("这部作品《呐喊》", "鲁迅"),
        text("《呐喊》", "鲁迅"),
    ]
    asked = [request for request in questions("鲁迅", texts, 12, random.Random(0)) if request.answer]
    assert {request.answer for request in asked} == {"呐喊"}
    assert any("Fill in the blank: 他在一九二三年出版了《___" in request.prompt for request in asked)
