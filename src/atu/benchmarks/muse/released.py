"""How open-unlearning asks and scores MUSE, to compare with its numbers (see `atu.benchmarks.open_unlearning`)."""

from __future__ import annotations

from collections.abc import Sequence

from atu.benchmarks.muse.asked import Asked, Observation, read_values, text_values, written
from atu.benchmarks.muse.prompts import STOP_WORDS, VERBATIM, question_prompt
from atu.benchmarks.muse.reader import Row
from atu.benchmarks.open_unlearning import cut_answer, decoded, end_ids, ground_truth
from atu.evaluation.generate import Prompt
from atu.evaluation.likelihood import Completion
from atu.evaluation.memorization import exact_memorization, released_extraction_strength
from atu.models.language_model import LanguageModel
from atu.records import Answer, Probe

_QUESTION_TOKENS = 512
"""Where a question with its worked examples is cut, at its end."""
_TEXT_TOKENS = 2048
"""Tokens that are read of a text, beside those of what stands before it."""


def request(llm: LanguageModel, probe: Probe, shots: Sequence[Row]) -> Asked:
    """What is asked for one probe.

    Args:
        shots: the worked examples before a question.
    """
    if probe.kind == "likelihood":
        return Asked(completion=_continuation(llm, "", probe.prompt))
    if probe.group == VERBATIM:
        return Asked(
            prompt=_prompt(llm, _encode(llm, probe.prompt), probe),
            completion=_continuation(llm, probe.prompt, f" {probe.references[0]}"),
        )
    return Asked(prompt=_prompt(llm, _encode(llm, _question(probe, shots))[:_QUESTION_TOKENS], probe))


def answer(llm: LanguageModel, probe: Probe, shots: Sequence[Row], asked: Asked, observed: Observation) -> Answer:
    """The row of the answers file. The last token of a completion plays no part, since it is taken for an end token."""
    if probe.kind == "likelihood":
        assert asked.completion is not None
        return text_values(
            probe, observed, llm.tokenizer.decode(list(asked.completion.ids), skip_special_tokens=True), released=True
        )
    assert asked.prompt is not None
    if probe.group == VERBATIM:
        assert asked.completion is not None
        text = cut_answer(llm, decoded(llm, observed.new))
        truth = ground_truth(llm, asked.prompt.ids, asked.completion.ids)
        right = observed.right[:-1]
        values = read_values(released_extraction_strength(right), exact_memorization(right))
        return written(probe, text, truth, values, use_stemmer=True)
    whole = _encode(llm, f"{_question(probe, shots)}{probe.references[0]}")[:_QUESTION_TOKENS]
    truth = ground_truth(llm, asked.prompt.ids, whole)
    return written(probe, cut_answer(llm, decoded(llm, observed.new), STOP_WORDS), truth, {}, use_stemmer=True)


def _question(probe: Probe, shots: Sequence[Row]) -> str:
    """With the space behind `Answer:`, which many tokenizers join to the answer's first word where they can."""
    return f"{question_prompt(probe.prompt, shots)} "


def _prompt(llm: LanguageModel, ids: tuple[int, ...], probe: Probe) -> Prompt:
    return Prompt(ids=ids, max_new_tokens=probe.max_new_tokens, end_ids=end_ids(llm))


def _continuation(llm: LanguageModel, before: str, text: str) -> Completion | None:
    """What follows as many tokens as `before` has alone; the first token of all is always given. None for nothing."""
    given = len(_encode(llm, before))
    ids = _encode(llm, before + text)[: given + _TEXT_TOKENS]
    start = max(1, given)
    return Completion(prompt=ids[:start], ids=ids[start:]) if len(ids) > start else None


def _encode(llm: LanguageModel, text: str) -> tuple[int, ...]:
    return tuple(llm.tokenizer(text, add_special_tokens=True)["input_ids"])
