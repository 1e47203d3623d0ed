"""How MUSE is asked and scored with the defects of its two codes mended (docs/muse.md)."""

from __future__ import annotations

from collections.abc import Sequence

from atu.benchmarks.muse.asked import Asked, Observation, read_values, text_values, written
from atu.benchmarks.muse.prompts import STOP_WORDS, VERBATIM, question_prompt
from atu.benchmarks.muse.reader import Row
from atu.errors import UserError
from atu.evaluation.generate import Prompt
from atu.evaluation.known import KnownAnswer, known_answer
from atu.evaluation.likelihood import Completion
from atu.evaluation.memorization import exact_memorization, extraction_strength
from atu.models.language_model import LanguageModel
from atu.records import Answer, Probe

_TEXT_TOKENS = 2048
"""Tokens that are read of a text, a BOS among them."""


def request(llm: LanguageModel, probe: Probe, shots: Sequence[Row]) -> Asked:
    """What is asked for one probe; `shots`: the worked examples before a question.

    Raises:
        UserError: a text of one token, of which nothing can be read.
    """
    if probe.kind == "likelihood":
        ids = tuple(llm.encode(probe.prompt)[:_TEXT_TOKENS])
        if len(ids) < 2:
            raise UserError(f"Probe '{probe.id}' is a text of {len(ids)} tokens; a likelihood takes two or more.")
        return Asked(completion=Completion(prompt=ids[:1], ids=ids[1:]))
    before = _before(probe, shots)
    prompt = Prompt(ids=tuple(llm.encode(before)), max_new_tokens=probe.max_new_tokens, end_ids=llm.end_ids)
    if probe.group != VERBATIM:
        return Asked(prompt=prompt)
    joined = llm.encode_behind(before, _gap(before, probe.references[0]) + probe.references[0])
    return Asked(prompt=prompt, completion=Completion(prompt=joined.prompt, ids=joined.ids))


def answer(llm: LanguageModel, probe: Probe, shots: Sequence[Row], asked: Asked, observed: Observation) -> Answer:
    """The row of the answers file. Without what the reference knew: `compare_known` adds it."""
    if probe.kind == "likelihood":
        assert asked.completion is not None
        return text_values(probe, observed, _decode(llm, asked.completion.ids), released=False)
    text = _decode(llm, observed.new).rstrip("\ufffd")
    if probe.group == VERBATIM:
        assert asked.completion is not None
        values = read_values(extraction_strength(observed.right), exact_memorization(observed.right))
        # As many tokens as may be written: a longer truth would cost the F1 of a model that has all by heart.
        truth = _decode(llm, asked.completion.ids[: probe.max_new_tokens]).rstrip("\ufffd")
        return written(probe, text.strip(), truth.strip(), values, use_stemmer=False)
    for word in STOP_WORDS:
        text = text.split(word)[0]
    return written(probe, text.strip(), probe.references[0], {}, use_stemmer=False)


def behind(llm: LanguageModel, probe: Probe, shots: Sequence[Row], text: str) -> KnownAnswer:
    """A text as the answer to a question, or as what continues a passage."""
    before = _before(probe, shots)
    return known_answer(llm, probe, before, _gap(before, text) + text)


def _before(probe: Probe, shots: Sequence[Row]) -> str:
    return probe.prompt if probe.group == VERBATIM else question_prompt(probe.prompt, shots)


def _gap(before: str, text: str) -> str:
    return "" if before[-1:].isspace() or text[:1].isspace() else " "


def _decode(llm: LanguageModel, ids: Sequence[int]) -> str:
    return str(llm.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))
