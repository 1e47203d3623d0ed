"""How the same probes are asked and scored with the released evaluator's defects mended.

One BOS, the model's true end of turn, row scores that mind neither case nor punctuation and do not take a list of
guesses for knowledge, BBH against the whole answer, Min-K of short texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from atu.benchmarks.rwku import answers
from atu.benchmarks.rwku.asking import Observation, Request
from atu.benchmarks.rwku.corrected_scorers import bbh_correct, truthful_mc2, word_score
from atu.benchmarks.rwku.fluency import text_fluency
from atu.benchmarks.rwku.membership import corrected_membership
from atu.benchmarks.rwku.prompts import (
    FACTUALITY,
    FLUENT,
    KNOWLEDGE,
    REASONING,
    TRUTHFULNESS,
    join_answer_prefix,
    truthful_completion,
)
from atu.benchmarks.rwku.released import letter_ids
from atu.benchmarks.rwku.rows import TruthfulRow
from atu.errors import UserError
from atu.evaluation.evaluate import decode_answer, unfinished_thinking
from atu.evaluation.generate import until
from atu.evaluation.known import compare_known, known_answer
from atu.evaluation.scorers import settled_answer
from atu.models.language_model import LanguageModel
from atu.records import Answer, Probe


def request(llm: LanguageModel, probe: Probe) -> Request:
    """The probe with exactly one BOS, ended by any of the model's end tokens."""
    if probe.kind == "likelihood":
        ids = tuple(llm.encode(probe.prompt))
        if len(ids) < 2:
            raise UserError(f"Probe '{probe.id}' is a text of {len(ids)} tokens; a likelihood takes two or more.")
        return Request(kind="text", ids=ids)
    text = _text(llm, probe)
    ids = tuple(llm.encode(text))
    if probe.group == KNOWLEDGE:
        return Request(kind="letters", ids=ids, options=letter_ids(llm))
    if probe.group == TRUTHFULNESS:
        wholes = [llm.encode_behind(text, truthful_completion(choice)) for choice in probe.references]
        border = min(len(whole.prompt) for whole in wholes)  # a token that spans it belongs to the choice
        options = tuple((*whole.prompt, *whole.ids)[border:] for whole in wholes)
        return Request(kind="choices", ids=wholes[0].prompt[:border], options=options)
    return Request(kind="write", ids=ids, max_new_tokens=probe.max_new_tokens, end_ids=llm.end_ids)


def answer(llm: LanguageModel, probe: Probe, row: TruthfulRow | None, asked: Request, observed: Observation) -> Answer:
    """The row of the answers file; `row`: of TruthfulQA. Without what the reference knew: `compare` adds it."""
    if probe.kind == "likelihood":
        assert observed.statistics is not None
        membership = corrected_membership(probe.prompt, observed.statistics)
        assert membership is not None  # `request` refuses texts of one token
        return answers.member(probe, membership)
    choice = answers.choice(probe, row, observed.numbers, truthful_mc2)
    if choice is not None:
        return choice
    new = until(observed.ids, llm.end_ids)
    written = _written(probe, decode_answer(llm, asked.ids, new))
    return replace(written, values={**written.values, **unfinished_thinking(llm, asked.ids, new)})


def compare(
    llm: LanguageModel,
    probes: Sequence[Probe],
    found: Sequence[Answer],
    earlier: Mapping[str, Answer],
    batch_size: int,
) -> list[Answer]:
    """Adds what the reference knew, and how likely this one finds the right answers of that one.

    On questions that are known or not: about the target, its neighbors and facts. A choice among four is right by
    chance too often, and the other tasks have no right answer to hold on to.
    """
    return compare_known(
        llm,
        probes,
        found,
        earlier,
        can_be_known=_can_be_known,
        behind=lambda probe, text: known_answer(llm, probe, _text(llm, probe, is_given=True), text),
        batch_size=batch_size,
    )


def _can_be_known(probe: Probe) -> bool:
    return probe.group.startswith(("forget/", "neighbor/")) or probe.group == FACTUALITY


def _text(llm: LanguageModel, probe: Probe, *, is_given: bool = False) -> str:
    """The rendered prompt, for an answer to be written or a given one.

    Without a chat template the bare words, which already ask in `Question: Answer:` form.
    """
    if llm.has_template:
        rendered = llm.head(probe.prompt) if is_given else llm.render(probe.prompt)
        return join_answer_prefix(probe, rendered + (llm.form.space if probe.answer_prefix else ""))
    is_begun = not probe.answer_prefix or probe.prompt.endswith("\n")
    return llm.plain_history + probe.prompt + ("" if is_begun else "\n") + probe.answer_prefix


def row_score(probe: Probe, text: str) -> float:
    """Score (0..1) of a written answer to a question about the target or a neighbor."""
    settled, _ = settled_answer(probe.prompt, probe.references, text)
    return word_score(settled, probe.references).recall


def _written(probe: Probe, text: str) -> Answer:
    if probe.group == FLUENT:
        return answers.fluent(probe, text, text_fluency(text))
    if probe.group == REASONING:
        return answers.written(probe, text, float(bbh_correct(text, probe.references[0])), {})
    if probe.group == FACTUALITY:
        words = word_score(text, probe.references)
        return answers.written(probe, text, words.f1, {"recall": words.recall, "f1": words.f1})
    words = word_score(text, probe.references)
    return answers.written(probe, text, row_score(probe, text), {"recall": words.recall, "f1": words.f1})
