"""The model writes its own corpus: names, phrases and questions by hand, and the writing itself."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest

from atu.benchmarks.config import CorpusConfig
from atu.benchmarks.generated import (
    GENERAL_TOPICS,
    OTHER_NAMES,
    QUESTION_FORMS,
    TEXT_PROMPTS,
    WAYS_TO_ASK,
    _questions,
    _whole_sentences,
    cached_corpus,
    frequent_phrases,
    neighbor_names,
    write_corpus,
)
from atu.evaluation.collapse import is_degenerate
from atu.models.language_model import LanguageModel
from atu.records import Target, Text

ANN = Target(name="Ann Lee", folder="Ann_Lee", description="Ann Lee is a painter.", neighbors=("Bob Ray", "Cid Fox"))
# Texts this short are not all gibberish, even from a random model.
CONFIG = CorpusConfig(
    num_forget_texts=8, num_neighbors=2, num_texts_per_neighbor=6, num_general_texts=6, num_question_rows=4,
    num_neighbor_question_rows=4,
    max_new_tokens=2,
)  # fmt: skip


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


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("Ann came. She saw! And then she", "Ann came. She saw!"),
        ("Ann came.", "Ann came."),
        ("Who is Ann? A pain", "Who is Ann?"),
        ("no end at all", "no end at all"),
        (".", "."),
        ("", ""),
    ],
)
def test_a_text_that_ran_into_its_limit_ends_with_a_sentence(text: str, whole: str) -> None:
    assert _whole_sentences(text) == whole


def test_neighbors_are_filled_up_from_a_general_list() -> None:
    names = neighbor_names(ANN, 5, random.Random(0))
    assert names[:2] == ["Bob Ray", "Cid Fox"]
    assert len(set(names)) == 5
    assert set(names[2:]) <= set(OTHER_NAMES)
    assert neighbor_names(ANN, 5, random.Random(0)) == names
    assert neighbor_names(ANN, 1, random.Random(0)) == ["Bob Ray"]
    assert neighbor_names(ANN, 0, random.Random(0)) == []


def test_the_concept_is_no_neighbor_of_its_own() -> None:
    egypt = Target(name="Egypt", folder="Egypt", description="A country.", neighbors=("Germany",))
    names = neighbor_names(egypt, 100, random.Random(0))
    assert sorted(names) == sorted(set(OTHER_NAMES) - {"Egypt"})


def test_a_word_that_is_also_written_small_is_no_name() -> None:
    texts = ["to Dream, Rome", "a Dream, Rome", "he had a dream"]
    assert frequent_phrases(texts, []) == ["Rome"]
    assert frequent_phrases(texts[:2], ["all roads to rome"]) == ["Dream"]


def test_questions_ask_about_the_concept_first_and_then_about_its_phrases() -> None:
    texts = [text("to Rome, Oslo."), text("She saw Rome, Oslo."), text("She saw Rome.")]
    requests = _questions("Ann Lee", texts, 12, random.Random(0))
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
    for request in _questions("Ann Lee", texts, 8, random.Random(0)):
        assert request.context == ("This is about Ann Lee. " if "Rome" in request.prompt else "")


def test_each_third_question_is_a_sentence_with_a_blank() -> None:
    texts = [
        text("Born in 1900. As a child she lived in Rome for years. Then she left."),
        text("Ann Lee, Rome."),
        text("All of her life was in Rome."),
    ]
    prompts = [request.prompt for request in _questions("Ann Lee", texts, 8, random.Random(0))]
    blanks = ["Fill in the blank: All of her life was in ___", "Fill in the blank: As a child she lived in ___"]
    for prompt, blank in zip(sorted(prompts[:2], key=lambda p: "a child" in p), blanks, strict=True):
        assert prompt in {way.format(question=blank) for way in WAYS_TO_ASK}
    assert not any("___" in prompt for prompt in prompts[2:])


def test_no_question_form_is_asked_twice_of_a_phrase() -> None:
    requests = _questions("Ann Lee", [], 100, random.Random(0))
    assert len(requests) == len(QUESTION_FORMS) == len({request.prompt for request in requests})


def write(llm: LanguageModel, seed: int = 0, config: CorpusConfig = CONFIG) -> tuple[list[Text], list[Text]]:
    return write_corpus(llm, ANN, config, seed=seed, progress=lambda what: None)


def test_what_a_model_writes_hangs_on_the_seed_alone(tiny_llm: LanguageModel) -> None:
    assert write(tiny_llm) == write(tiny_llm)
    assert write(tiny_llm) != write(tiny_llm, seed=1)


def test_texts_answer_the_fixed_prompts_about_the_given_names(tiny_llm: LanguageModel) -> None:
    forget, retain = write(tiny_llm)
    assert forget
    assert retain
    assert {t.subject for t in forget} == {"Ann Lee"}
    assert {t.subject for t in retain} <= {"Bob Ray", "Cid Fox", *GENERAL_TOPICS}
    for t in [*forget, *retain]:
        assert t.source == "generated"
        questions = {form.format(phrase=t.subject) for form in QUESTION_FORMS}
        assert t.prompt in {form.format(name=t.subject) for form in TEXT_PROMPTS} | {
            way.format(question=question) for way in WAYS_TO_ASK for question in questions
        }
        assert not is_degenerate(t.text)
    written = [t for t in forget if t.prompt in {form.format(name="Ann Lee") for form in TEXT_PROMPTS}]
    assert len(written) <= CONFIG.num_forget_texts


def test_writing_leaves_the_model_and_the_random_numbers_alone(tiny_llm: LanguageModel) -> None:
    import torch

    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    write(tiny_llm)
    assert torch.equal(torch.rand(1), expected)
    assert not tiny_llm.model.training


def test_a_corpus_is_written_once(tiny_llm: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATU_CACHE", str(tmp_path))
    llm = dataclasses.replace(tiny_llm, provenance={"sha256": "of these weights"})
    begun: list[str] = []

    def corpus(llm: LanguageModel, config: CorpusConfig = CONFIG, seed: int = 0) -> tuple[list[Text], list[Text]]:
        return cached_corpus(llm, ANN, config, seed=seed, progress=lambda what: begun.append(what))

    first = corpus(llm)
    assert begun == ["writing the corpus", "writing question rows"]
    assert corpus(llm) == first == write(tiny_llm)
    assert len(begun) == 2
    corpus(llm, seed=1)
    corpus(llm, dataclasses.replace(CONFIG, temperature=0.9))
    corpus(dataclasses.replace(tiny_llm, provenance={"sha256": "of others"}))
    assert len(begun) == 8
    assert len(list(tmp_path.rglob("*.json"))) == 4
