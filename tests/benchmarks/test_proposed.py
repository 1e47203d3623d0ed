"""Probes that a model proposes, and what is said of the concept before training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from atu.benchmarks.catalog import build_benchmark, with_proposed
from atu.benchmarks.corpus import Corpus, read_texts, without_questions, write_corpus
from atu.benchmarks.own import proposed
from atu.benchmarks.own.benchmark import OwnConfig
from atu.benchmarks.own.proposed import Proposal, describe_proposals, key_phrases, propose, write_proposals
from atu.benchmarks.prior import PriorKnowledge, describe_prior, prior_knowledge
from atu.errors import UserError
from atu.evaluation.scorers import contains_any
from atu.models.language_model import LanguageModel
from atu.records import Answer, Target, Text

CURIE = Target(name="Marie Curie", folder="Marie_Curie", description="a physicist")


@pytest.mark.parametrize(
    ("question", "answer", "found"),
    [
        (
            "Where was Marie Curie born?",
            "Marie Curie was born in Warsaw in 1867. She died in France.",
            ["Warsaw", "1867"],
        ),
        # What begins a sentence has a capital anyway; what the question or the name holds says nothing new.
        ("Who was Marie Curie?", "Scientists say that Marie Curie was a Curiesque physicist.", []),
        (
            "Which prize did Curie win?",
            "She won the Nobel Prize of the Royal Academy",
            ["Nobel Prize of the Royal Academy"],
        ),
        ("How old was Marie Curie?", "She was 66 or 7.", ["66"]),
        ("Who helped Marie Curie?", "The Pierre Institute did.", ["Pierre Institute"]),
    ],
)
def test_what_counts_in_an_answer_is_a_name_or_number_that_is_new(question: str, answer: str, found: list[str]) -> None:
    assert key_phrases(question, "Marie Curie", answer) == found


def test_proposals_are_a_file_that_judges(tmp_path: Path) -> None:
    proposals = [
        Proposal("Marie Curie", "Where was Marie Curie born?", "In Warsaw.", ("Warsaw",)),
        Proposal("Isaac Newton", "Where was Isaac Newton born?", "In England.", ("England",)),
    ]
    path = tmp_path / "probes.jsonl"
    write_proposals(path, proposals, CURIE)
    assert describe_proposals(proposals, CURIE) == "1 questions about Marie Curie and 1 about its neighbors"
    # A run without probes takes the file that lies in its folder; one that was given some keeps these.
    config = with_proposed(OwnConfig(), path)
    asked = build_benchmark(config).probes("Marie_Curie")[:2]
    assert [(probe.group, probe.references) for probe in asked] == [
        ("forget/qa", ("Warsaw",)),
        ("neighbor/qa", ("England",)),
    ]
    given = OwnConfig(probes_path="given.jsonl")
    assert with_proposed(given, path) is given
    with pytest.raises(UserError, match="Nothing to forget: asked about Marie Curie, the model says nothing"):
        write_proposals(tmp_path / "none.jsonl", proposals[1:], CURIE)
    assert not (tmp_path / "none.jsonl").exists()


def test_a_model_proposes_what_it_answers_itself(smollm2: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, less in {
        "_NUM_LISTS": 1,
        "_MAX_FORMS": 10,
        "_FORMS": ("Name a city of {name}.",),
        "_MAX_PHRASES": 3,
    }.items():
        monkeypatch.setattr(proposed, name, less)
    target = Target(name="Japan", folder="Japan", description="a country", neighbors=("France", "Germany", "Canada"))
    found = propose(smollm2, target, num_neighbors=3, seed=0, progress=lambda what: None)
    about = [one for one in found if one.subject == "Japan"]
    assert about
    assert {one.subject for one in found} <= {"Japan", "France", "Germany", "Canada"}
    assert all(contains_any(one.answer, one.references) for one in found)
    assert any("Tokyo" in one.references for one in about)
    # Those of the concept first; no answer again and again, no question twice.
    assert [one.subject == "Japan" for one in found] == sorted((one.subject == "Japan" for one in found), reverse=True)
    assert len({(one.subject, one.question) for one in found}) == len(found)
    assert sum("Tokyo" in one.references for one in about) <= 3


def answer(group: str, known: bool | None, attack: str = "") -> Answer:
    return Answer(
        probe_id=group, group=group, prompt="", text="", score=0.0, degenerate=False, known_before=known, attack=attack
    )


def test_what_the_model_knows_is_counted_over_plain_questions_about_the_concept() -> None:
    answers = [
        answer("forget/qa", True),
        answer("forget/fb", False),
        answer("forget/aa", True, attack="role play"),
        answer("neighbor/qa", True),
        answer("privacy/members", None),
    ]
    assert prior_knowledge(answers) == PriorKnowledge(known=1, asked=2)


def test_a_line_says_how_sure_a_verdict_will_be() -> None:
    # 1.96 * sqrt(0.25 / 25) = 0.196, and of 100 answers half of that.
    assert describe_prior(PriorKnowledge(known=25, asked=50), "Japan") == (
        "the model knows the answer to 25 of 50 questions about Japan (50%): how many of them are left will be known "
        "to within 20 points; 100 such questions would make it 10"
    )
    assert "; 100 such" not in describe_prior(PriorKnowledge(known=50, asked=50), "Japan")
    with pytest.raises(UserError, match="Nothing to forget: the model answers none of 9 questions about Japan rightly"):
        describe_prior(PriorKnowledge(known=0, asked=9), "Japan")


def texts(*prompts: str | None) -> tuple[Text, ...]:
    return tuple(
        Text(text=f"text {i}", subject="x", source="generated", prompt=prompt) for i, prompt in enumerate(prompts)
    )


def test_no_text_of_the_corpus_answers_a_question_that_judges(tmp_path: Path) -> None:
    asked: Sequence[str] = ["Where was Marie Curie born?"]
    mixed = texts("Question: where was marie curie born? Answer briefly.", "Who was Marie Curie?", None)
    corpus = Corpus(forget=mixed, retain=mixed[:1], held_out_forget=mixed[1:2], held_out_retain=mixed[2:])
    left = without_questions(corpus, asked)
    assert (left.forget, left.retain, left.held_out_forget, left.held_out_retain) == (
        mixed[1:],
        (),
        mixed[1:2],
        mixed[2:],
    )
    # What was used lies in the folder, in the form in which it may be given again.
    write_corpus(tmp_path / "corpus", corpus)
    again = read_texts(tmp_path / "corpus" / "forget.jsonl")
    assert [(text.text, text.prompt, text.subject) for text in again] == [
        (text.text, text.prompt, text.subject) for text in (*corpus.forget, *corpus.held_out_forget)
    ]
