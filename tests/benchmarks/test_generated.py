"""The model writes its own corpus: names, phrases and questions by hand, and the writing itself."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from atu.benchmarks.config import CorpusConfig
from atu.benchmarks.generated import (
    GENERAL_TOPICS,
    OTHER_NAMES,
    TEXT_PROMPTS,
    cached_corpus,
    neighbor_names,
    write_corpus,
)
from atu.benchmarks.questions import QUESTION_FORMS, WAYS_TO_ASK
from atu.benchmarks.writing import whole_sentences
from atu.evaluation.collapse import is_degenerate
from atu.models.chat_template import ChatSettings
from atu.models.language_model import LanguageModel
from atu.records import Target, Text

ANN = Target(name="Ann Lee", folder="Ann_Lee", description="Ann Lee is a painter.", neighbors=("Bob Ray", "Cid Fox"))
# Texts this short are not all gibberish, even from a random model.
CONFIG = CorpusConfig(
    num_forget_texts=8, num_neighbors=2, num_texts_per_neighbor=6, num_general_texts=6, num_question_rows=4,
    num_neighbor_question_rows=4, num_quiz_rows=4, num_neighbor_quiz_rows=4,
    max_new_tokens=2,
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("Ann came. She saw! And then she", "Ann came. She saw!"),
        ("Ann came.", "Ann came."),
        ("Who is Ann? A pain", "Who is Ann?"),
        ("no end at all", "no end at all"),
        ("鲁迅是作家。他写了《呐喊》！后来他", "鲁迅是作家。他写了《呐喊》！"),
        ("作者は誰？夏目", "作者は誰？"),
        ("प्रेमचंद लेखक थे। उनका", "प्रेमचंद लेखक थे।"),
        (".", "."),
        ("", ""),
    ],
)
def test_a_text_that_ran_into_its_limit_ends_with_a_sentence(text: str, whole: str) -> None:
    assert whole_sentences(text) == whole


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
    assert begun == ["writing the corpus", "writing a quiz", "writing question rows"]
    assert corpus(llm) == first == write(tiny_llm)
    assert len(begun) == 3
    corpus(llm, seed=1)
    corpus(llm, dataclasses.replace(CONFIG, temperature=0.9))
    corpus(dataclasses.replace(tiny_llm, provenance={"sha256": "of others"}))
    assert len(begun) == 12
    corpus(dataclasses.replace(llm, chat=ChatSettings(kwargs={"enable_thinking": True})))  # may be asked in other words
    assert len(begun) == 15
    assert len(list(tmp_path.rglob("*.json"))) == 5


TEXTS_ALONE = dataclasses.replace(CONFIG, num_general_texts=0)
NO_QUESTIONS = dataclasses.replace(
    TEXTS_ALONE, num_question_rows=0, num_neighbor_question_rows=0, num_quiz_rows=0, num_neighbor_quiz_rows=0
)
GIVEN = (
    Text(text="Last year she painted the Green Door. It hangs in Oslo.", subject="Ann Lee", source="book"),
    Text(text="All of us admire the Green Door in Oslo.", subject="Ann Lee", source="book"),
    Text(text="Nobody in Rome has read Blue Moon.", subject="Bob Ray", source="book"),
)


def test_about_given_texts_the_model_writes_answers_alone(
    tiny_llm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atu.benchmarks.generated._ANSWER_TOKENS", 2)
    begun: list[str] = []
    config = dataclasses.replace(TEXTS_ALONE, num_question_rows=24, num_neighbor_question_rows=24)
    forget, retain = write_corpus(tiny_llm, ANN, config, given=GIVEN, seed=0, progress=lambda what: begun.append(what))
    assert begun == ["writing a quiz", "writing question rows"]
    assert [text for text in (*forget, *retain) if text.source == "book"] == list(GIVEN)
    for texts, subject, own, other in (
        (forget, "Ann Lee", ("Green Door", "Oslo"), ("Blue Moon", "Rome")),
        (retain, "Bob Ray", ("Blue Moon", "Rome"), ("Green Door", "Oslo")),
    ):
        assert {text.subject for text in texts} == {subject}  # Cid Fox has no texts, so nothing is asked about him
        asked = " ".join(text.prompt or "" for text in texts)
        assert any(phrase in asked for phrase in own)
        assert not any(phrase in asked for phrase in other)


def test_a_questionnaire_is_put_to_the_concept_and_its_neighbors_and_nothing_is_made_up(
    tiny_llm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atu.benchmarks.generated._ANSWER_TOKENS", 2)
    begun: list[str] = []
    config = dataclasses.replace(TEXTS_ALONE, num_quiz_rows=16, num_neighbor_quiz_rows=16)
    forms = ("Where was {name} born?", "Who is {name}'s mother?")
    forget, retain = write_corpus(
        tiny_llm, ANN, config, given=GIVEN, questionnaire=forms * 8, seed=0, progress=lambda what: begun.append(what)
    )
    assert begun == ["writing question rows"]
    for texts, name in ((forget, "Ann Lee"), (retain, "Bob Ray")):
        asked = "\n".join(text.prompt or "" for text in texts if text.source == "generated")
        assert all(form.format(name=name) in asked for form in forms)


def test_names_in_the_concepts_texts_are_asked_about_for_their_own_sake_and_kept(
    tiny_llm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atu.benchmarks.generated._ANSWER_TOKENS", 2)
    config = dataclasses.replace(NO_QUESTIONS, num_related_rows=16)
    forget, retain = write_corpus(tiny_llm, ANN, config, given=GIVEN, seed=0, progress=lambda what: None)
    assert [text.source for text in forget] == ["book", "book"]
    written = [text for text in retain if text.source == "generated"]
    assert {text.subject for text in written} == {"Green Door", "Oslo"}
    assert all(text.prompt is not None and text.subject in text.prompt for text in written)
    assert not any("Ann" in (text.prompt or "") for text in written)

    def says_ann(llm: LanguageModel, openings: Sequence[str], **options: object) -> list[str]:
        return ["by Ann Lee." if i % 2 else "in Norway." for i in range(len(openings))]

    monkeypatch.setattr("atu.benchmarks.writing.continue_texts", says_ann)
    _, retain = write_corpus(tiny_llm, ANN, config, given=GIVEN, seed=0, progress=lambda what: None)
    assert {text.text for text in retain if text.source == "generated"} == {"in Norway."}


def test_beside_given_texts_it_writes_on_general_topics_too(
    tiny_llm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atu.benchmarks.generated._ANSWER_TOKENS", 2)
    config = dataclasses.replace(NO_QUESTIONS, num_general_texts=3, num_general_question_rows=80)
    begun: list[str] = []
    _, retain = write_corpus(tiny_llm, ANN, config, given=GIVEN, seed=0, progress=lambda what: begun.append(what))
    assert begun == ["writing general texts", "writing question rows"]
    written = [text for text in retain if text.source == "generated"]
    assert {text.subject for text in written} <= {*GENERAL_TOPICS, *OTHER_NAMES}
    assert 3 < len(written) <= 83
    assert all(text.prompt is not None and text.subject in text.prompt for text in written)

    about_bees = Text(text="Bees fly.", subject="Bees", source="book")
    _, retain = write_corpus(
        tiny_llm, ANN, config, given=(*GIVEN, about_bees), seed=0, progress=lambda what: None
    )  # who has texts of its own is no topic beside
    assert not any(text.subject == "bees" for text in retain)


def test_of_given_texts_about_several_targets_each_is_asked_about(
    tiny_llm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atu.benchmarks.generated._ANSWER_TOKENS", 2)
    both = Target(name="Ann Lee, Bob Ray", folder="1-2", description="", members=("Ann Lee", "Bob Ray"))
    third = Text(text="The river Po flows by.", subject="Po", source="book")
    config = dataclasses.replace(TEXTS_ALONE, num_question_rows=24)
    forget, retain = write_corpus(tiny_llm, both, config, given=(*GIVEN, third), seed=0, progress=lambda what: None)
    assert {text.subject for text in forget if text.source == "generated"} == {"Ann Lee", "Bob Ray"}
    assert {text.subject for text in retain} == {"Po"}


def test_other_given_texts_and_questions_make_another_corpus(
    tiny_llm: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATU_CACHE", str(tmp_path))
    llm = dataclasses.replace(tiny_llm, provenance={"sha256": "of these weights"})
    for given in (GIVEN, GIVEN, GIVEN[1:], ()):
        cached_corpus(llm, ANN, CONFIG, given=given, seed=0, progress=lambda what: None)
    assert len(list(tmp_path.rglob("*.json"))) == 3
    for questionnaire in (["Who is {name}?"], ["Who is {name}?"], ["Where is {name}?"]):
        cached_corpus(llm, ANN, CONFIG, questionnaire=questionnaire, seed=0, progress=lambda what: None)
    assert len(list(tmp_path.rglob("*.json"))) == 5
