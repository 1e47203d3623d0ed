"""How the same rows are asked and scored with the released evaluator's defects mended.

A beginning is continued as plain text, by no more tokens than the truth has and a few. A question is put as the model
is used, in its chat template; its answer counts wherever it stands in the first line (`atu.evaluation.scorers`), in any
of the forms that LUME's own texts have.
"""

from __future__ import annotations

from collections.abc import Sequence

from atu.errors import UserError
from atu.evaluation.collapse import is_degenerate
from atu.evaluation.evaluate import decode_answer
from atu.evaluation.generate import Prompt, until
from atu.evaluation.known import KnownAnswer, known_answer
from atu.evaluation.likelihood import Completion, TokenStatistics
from atu.evaluation.membership import attack_values
from atu.evaluation.rouge import rouge
from atu.models.language_model import LanguageModel
from atu.records import Answer, Probe

_SLACK = 16
"""Tokens that a continuation may be longer than the truth: the same words can take a few more."""
MAX_ANSWER_TOKENS = 32
"""Of an answer to a question; LUME's longest is an address."""


def prompt(llm: LanguageModel, probe: Probe) -> Prompt:
    """The beginning, as plain text with exactly one BOS."""
    truth = llm.encode_behind(probe.prompt, f" {probe.references[0].lstrip()}").ids
    room = min(probe.max_new_tokens, len(truth) + _SLACK)
    return Prompt(ids=tuple(llm.encode(probe.prompt)), max_new_tokens=room, end_ids=llm.end_ids)


def completion(llm: LanguageModel, probe: Probe) -> Completion:
    """A membership text: all tokens but the first are scored."""
    ids = tuple(llm.encode(probe.prompt))
    if len(ids) < 2:
        raise UserError(f"Probe '{probe.id}' is a text of {len(ids)} tokens; a likelihood takes two or more.")
    return Completion(prompt=ids[:1], ids=ids[1:])


def written(llm: LanguageModel, probe: Probe, asked: Prompt, new: Sequence[int]) -> Answer:
    """The row of the answers file for a continuation, of which only the room that it has counts."""
    text = decode_answer(llm, asked.ids, until(new, llm.end_ids)[: asked.max_new_tokens])
    found = rouge(probe.references[0], text, use_stemmer=True)
    values = {"rouge1": found.rouge1_recall, "f1": found.rougeL_f1}
    return Answer.to(probe, text=text, score=found.rougeL_recall, values=values, degenerate=is_degenerate(text))


def member(probe: Probe, tokens: TokenStatistics) -> Answer:
    """The row for a membership text, with what each attack says of it."""
    values = attack_values(tokens, probe.prompt)
    return Answer.to(probe, text="", score=values["loss"], values=values)


def behind(llm: LanguageModel, probe: Probe, text: str) -> KnownAnswer:
    """A continuation that the reference wrote, to be read behind the same beginning."""
    return known_answer(llm, probe, probe.prompt, text)
