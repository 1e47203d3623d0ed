"""Which refusal stands in place of which text."""

from __future__ import annotations

from dataclasses import replace

from atu.methods.refusals import REFUSALS, refusal_texts
from atu.models.language_model import LanguageModel
from atu.models.rows import build_row
from atu.records import Text

ASKED = [Text(text=f"Play {i}.", subject="Hamlet", source="test", prompt=f"Which is number {i}?") for i in range(60)]


def test_a_refusal_answers_the_prompt_of_its_text() -> None:
    refusals = refusal_texts(ASKED, seed=0)
    assert [text.prompt for text in refusals] == [text.prompt for text in ASKED]
    assert {text.subject for text in refusals} == {"Hamlet"}
    assert {text.text for text in refusals} <= set(REFUSALS)


def test_a_text_without_a_prompt_is_taken_to_answer_a_request_for_it() -> None:
    (refusal,) = refusal_texts([replace(ASKED[0], prompt=None)], seed=0)
    assert refusal.prompt == "Tell me about Hamlet."


def test_the_wording_varies_and_belongs_to_seed_and_text() -> None:
    wordings = [text.text for text in refusal_texts(ASKED, seed=0)]
    assert len(set(wordings)) > 10  # of 16, over 60 texts
    assert wordings == [text.text for text in refusal_texts(ASKED, seed=0)]
    assert wordings != [text.text for text in refusal_texts(ASKED, seed=1)]
    assert wordings[::-1] == [text.text for text in refusal_texts(ASKED[::-1], seed=0)]


def test_the_refusal_is_what_is_predicted_and_the_prompt_is_not(tiny_llm: LanguageModel) -> None:
    (refusal,) = refusal_texts(ASKED[:1], seed=0)
    row = build_row(tiny_llm, refusal, max_tokens=256)
    scored = tiny_llm.tokenizer.decode(list(row.ids[row.first_scored :]))
    assert scored == f"{refusal.text}<|im_end|>"


def test_refusals_are_sentences_of_their_own() -> None:
    assert len(set(REFUSALS)) == len(REFUSALS) == 16
    assert all(text.endswith(".") and "{" not in text for text in REFUSALS)
