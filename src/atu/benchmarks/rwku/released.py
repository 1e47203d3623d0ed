"""How the released evaluator asks and scores: to compare with published numbers.

Its prompts, its tokens (special tokens added to a text that may hold them already), its stop behavior, its row
scores. Its crashes and silences are not re-stated: what keeps a request from being asked is an error.
"""

from __future__ import annotations

import math

from atu.benchmarks.rwku import answers
from atu.benchmarks.rwku.asking import Observation, Request
from atu.benchmarks.rwku.fluency import text_fluency
from atu.benchmarks.rwku.membership import released_membership
from atu.benchmarks.rwku.prompts import (
    FACTUALITY,
    FLUENT,
    KNOWLEDGE,
    LETTERS,
    REASONING,
    TRUTHFULNESS,
    join_answer_prefix,
    task_of,
    truthful_completion,
)
from atu.benchmarks.rwku.released_scorers import (
    bbh_match,
    bbh_match_fixed,
    cut_completion,
    rouge_l,
    stop_ids,
    trivia_match,
    truthful_mc2,
)
from atu.benchmarks.rwku.rows import TruthfulRow
from atu.errors import UserError
from atu.models.language_model import LanguageModel
from atu.records import Answer, Probe


def request(llm: LanguageModel, probe: Probe) -> Request:
    """The probe as the released evaluator puts it.

    Raises UserError for a tokenizer without a chat template or without an eos token: it has no prompt, or no end,
    for such a model.
    """
    if probe.kind == "likelihood":
        return Request(kind="text", ids=_encode(llm, probe.prompt))
    if llm.tokenizer.chat_template is None:
        raise UserError(
            f"The tokenizer of {llm.label} has no chat template, which the released scoring needs. "
            "Take --scoring corrected: it asks in plain text then."
        )
    text = join_answer_prefix(probe, llm.render(probe.prompt))
    ids = _encode(llm, text)
    if probe.group == KNOWLEDGE:
        return Request(kind="letters", ids=ids, options=letter_ids(llm))
    if probe.group == TRUTHFULNESS:
        options = tuple(_encode(llm, text + truthful_completion(choice))[len(ids) :] for choice in probe.references)
        return Request(kind="choices", ids=ids, options=options)
    eos = llm.tokenizer.eos_token_id
    if not isinstance(eos, int):
        raise UserError(
            f"The tokenizer of {llm.label} names no eos token, at which the released scoring ends an answer. "
            "Take --scoring corrected."
        )
    return Request(kind="write", ids=ids, max_new_tokens=probe.max_new_tokens, end_ids=(eos,))


def answer(
    llm: LanguageModel, probe: Probe, row: TruthfulRow | None, asked: Request, observed: Observation
) -> Answer | None:
    """The row of the answers file; None for a text that the released evaluator skips. `row`: of TruthfulQA."""
    if probe.kind == "likelihood":
        assert observed.statistics is not None
        membership = released_membership(probe.prompt, observed.statistics)
        return None if membership is None else answers.member(probe, membership)
    choice = answers.choice(probe, row, observed.numbers, truthful_mc2)
    if choice is not None:
        return choice
    text = cut_completion(llm.tokenizer, asked.ids, observed.ids, stop_ids(llm.tokenizer, task_of(probe)))
    return _written(probe, text)


def letter_ids(llm: LanguageModel) -> tuple[tuple[int, ...], ...]:
    """For each of MMLU's letters the last token of the letter behind a space."""
    return tuple((llm.tokenizer.encode(f" {letter}", add_special_tokens=False)[-1],) for letter in LETTERS)


def _written(probe: Probe, text: str) -> Answer:
    if probe.group == FLUENT:
        return answers.fluent(probe, text, text_fluency(text))
    if probe.group == REASONING:
        match = bbh_match(text, probe.references[0])
        values = {"exact": match.exact, "exact_fixed": bbh_match_fixed(text, probe.references[0]).exact}
        return answers.written(probe, text, match.exact, values, raises=match.degenerate)
    if probe.group == FACTUALITY:
        match = trivia_match(text, probe.references)
        return answers.written(probe, text, match.f1, {"exact": match.exact, "f1": match.f1}, raises=match.degenerate)
    overlap = rouge_l(text, probe.references[0])
    values = {"recall": overlap.recall, "precision": overlap.precision, "f1": overlap.f1}
    assert not any(map(math.isnan, values.values()))
    return answers.written(probe, text, overlap.recall, values, raises=overlap.degenerate)


def _encode(llm: LanguageModel, text: str) -> tuple[int, ...]:
    ids = tuple(llm.tokenizer(text)["input_ids"])
    if len(ids) < 2:
        raise UserError(f"A text of {len(ids)} tokens cannot be asked: {text!r}.")
    return ids
