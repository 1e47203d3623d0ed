"""What is asked of a model, as tokens, under both scorings."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from atu.benchmarks.muse import corrected, released
from atu.benchmarks.muse.asked import Observation
from atu.benchmarks.muse.benchmark import MuseBenchmark
from atu.benchmarks.muse.config import MuseConfig
from atu.benchmarks.muse.prompts import GROUPS, question_prompt
from atu.benchmarks.muse.words import MUSE_WORDS
from atu.errors import UserError
from atu.evaluation.likelihood import TokenStatistics
from atu.models.language_model import LanguageModel
from atu.records import Probe

SHOTS = (("Who is mayor of Dun?", "Ann Dun"),)
PASSAGE = Probe(
    id="muse/news/verbmem/forget/0",
    group="forget/verbmem",
    kind="generate",
    prompt="Tokyo is",
    references=("the capital of Japan, and",),
    max_new_tokens=3,
)
QUESTION = dataclasses.replace(PASSAGE, group="forget/knowmem", prompt="Who is mayor of Arl?", references=("Ann Arl",))
TEXT = dataclasses.replace(PASSAGE, group="privacy/members", kind="likelihood", prompt="Tokyo is the capital.")


def seen(*right: bool) -> Observation:
    numbers = tuple(-1.0 for _ in right)
    return Observation(statistics=TokenStatistics(logprobs=numbers, means=numbers, spreads=numbers, right=right))


def test_probes_are_the_rows_of_the_files(muse_dir: Path) -> None:
    benchmark = MuseBenchmark(MuseConfig(data_dir=str(muse_dir)))
    probes = benchmark.probes("news")
    assert [probe.group for probe in probes] == [
        *["forget/knowmem"] * 3, *["forget/verbmem"] * 2, "neighbor/knowmem", *["privacy/members"] * 4,
        *["privacy/others"] * 3,
    ]  # fmt: skip
    assert probes[0] == Probe(
        id="muse/news/knowmem/forget_qa/0",
        group="forget/knowmem",
        kind="generate",
        prompt="Who is mayor of Arl?",
        references=("Ann Arl",),
        max_new_tokens=32,
    )
    assert (probes[3].prompt, probes[3].references, probes[3].max_new_tokens) == (
        "Arl has a",
        ("mayor: Ann Arl.",),
        128,
    )
    alone = MuseBenchmark(MuseConfig(data_dir=str(muse_dir), tasks=("privacy",))).probes("news")
    assert alone == probes[6:]
    asked = MuseBenchmark(MuseConfig(data_dir=str(muse_dir), icu=True)).probes("news")
    assert all(("unlearn about BBC News" in probe.prompt) == (probe.kind == "generate") for probe in asked)
    assert [dataclasses.replace(one, prompt="") for one in asked] == [dataclasses.replace(p, prompt="") for p in probes]


def test_a_question_stands_behind_the_worked_examples(tiny_llm: LanguageModel) -> None:
    text = "Question: Who is mayor of Dun?\nAnswer: Ann Dun\n\nQuestion: Who is mayor of Arl?\nAnswer:"
    assert question_prompt(QUESTION.prompt, SHOTS) == text
    mended, given = corrected.request(tiny_llm, QUESTION, SHOTS), released.request(tiny_llm, QUESTION, SHOTS)
    assert mended.prompt is not None
    assert given.prompt is not None
    assert tiny_llm.tokenizer.decode(mended.prompt.ids) == text
    assert tiny_llm.tokenizer.decode(given.prompt.ids) == f"{text} "  # the released space
    long = released.request(tiny_llm, QUESTION, SHOTS * 40)
    assert long.prompt is not None
    assert len(long.prompt.ids) == 512  # and the question is gone


def test_an_answer_ends_before_the_next_question(tiny_llm: LanguageModel) -> None:
    new = tuple(tiny_llm.encode(" Ann Arl\nQuestion: Who else?"))
    for rules in (released, corrected):
        asked = rules.request(tiny_llm, QUESTION, SHOTS)
        answer = rules.answer(tiny_llm, QUESTION, SHOTS, asked, Observation(new=new))
        assert (answer.text, answer.score) == ("Ann Arl", 1.0)
    stems = tuple(tiny_llm.encode(" cities"))
    probe = dataclasses.replace(QUESTION, references=("city",))
    scores = [
        rules.answer(tiny_llm, probe, SHOTS, rules.request(tiny_llm, probe, SHOTS), Observation(new=stems)).score
        for rules in (released, corrected)
    ]
    assert scores == [1.0, 0.0]  # the released scorer compares stems, MUSE's own and ours words


def test_a_passage_is_read_and_continued(tiny_llm: LanguageModel) -> None:
    for rules in (released, corrected):
        asked = rules.request(tiny_llm, PASSAGE, ())
        assert asked.prompt is not None
        assert asked.completion is not None
        assert tiny_llm.tokenizer.decode([*asked.completion.prompt, *asked.completion.ids]) == (
            "Tokyo is the capital of Japan, and"
        )
        assert tiny_llm.tokenizer.decode(asked.prompt.ids) == "Tokyo is"


def test_released_leaves_out_the_last_token_of_a_passage(tiny_llm: LanguageModel) -> None:
    """Two wrong tokens, the last one among them: mended, nothing follows from what stands before it."""
    asked = released.request(tiny_llm, PASSAGE, ())
    assert asked.completion is not None
    count = len(asked.completion.ids)
    observed = dataclasses.replace(seen(False, *[True] * (count - 2), False), new=asked.completion.ids[:3])
    given = released.answer(tiny_llm, PASSAGE, (), asked, observed)
    assert given.values["strength"] == pytest.approx((count - 2) / (count - 1))
    assert given.values["exact"] == pytest.approx((count - 2) / (count - 1))
    mended = corrected.answer(tiny_llm, PASSAGE, (), corrected.request(tiny_llm, PASSAGE, ()), observed)
    assert (mended.values["strength"], mended.values["exact"]) == (0.0, (count - 2) / count)
    # All three tokens that may be written are right, so that the mended truth has no more.
    assert mended.score == 1.0
    assert given.score < 1.0


def test_a_text_is_read_but_for_its_first_token(tiny_llm: LanguageModel) -> None:
    ids = tuple(tiny_llm.encode(TEXT.prompt))
    for rules in (released, corrected):
        asked = rules.request(tiny_llm, TEXT, ())
        assert asked.completion is not None
        assert (asked.completion.prompt, asked.completion.ids) == (ids[:1], ids[1:])
        answer = rules.answer(tiny_llm, TEXT, (), asked, seen(*[True] * (len(ids) - 1)))
        assert (answer.values["loss"], answer.text) == (1.0, "")
    single = dataclasses.replace(TEXT, prompt="a")
    assert released.request(tiny_llm, single, ()).completion is None
    with pytest.raises(UserError, match=r"is a text of 1 tokens; a likelihood takes two or more\."):
        corrected.request(tiny_llm, single, ())


def test_texts_are_cut_at_2048_tokens(tiny_llm: LanguageModel) -> None:
    long = dataclasses.replace(TEXT, prompt="x " * 3000)
    for rules in (released, corrected):
        completion = rules.request(tiny_llm, long, ()).completion
        assert completion is not None
        assert len(completion.prompt) + len(completion.ids) == 2048


def test_its_scores_have_words_of_their_own() -> None:
    for group in GROUPS[:3]:
        assert "ROUGE-L" in MUSE_WORDS.special[group]["meaning"].en
        assert "ROUGE-L" in MUSE_WORDS.special[group]["meaning"].zh
