"""How a question of TOFU and an answer behind it are put with the reference implementation's defects mended.

The model's own chat template, every token of the answer, one end token, and nothing hidden from attention.
"""

from __future__ import annotations

from collections.abc import Sequence

from atu.benchmarks.tofu.form import is_chat
from atu.evaluation.evaluate import decode_answer
from atu.evaluation.generate import Prompt
from atu.evaluation.likelihood import Completion
from atu.models.language_model import LanguageModel
from atu.models.turns import plain_prompt

_NEXT_QUESTION = "\nQuestion:"
"""A model without a chat goes on to ask itself; its answer ends before that."""


def completion(llm: LanguageModel, question: str, answer: str, template: str | None) -> Completion:
    """The answer's tokens and the token that ends the turn behind them."""
    if is_chat(llm, template):
        turn = llm.turn(question, answer)
        joined = llm.encode_behind(turn.head, turn.body + turn.closing)
        end = llm.turn_end
    else:
        joined = llm.encode_behind(llm.plain_history + plain_prompt(question, ""), f" {answer}")
        end = llm.end_ids[0]
    return Completion(prompt=joined.prompt, ids=(*joined.ids, end))


def prompt(llm: LanguageModel, question: str, template: str | None, max_new_tokens: int) -> Prompt:
    """What the model writes its answer behind."""
    text = llm.render(question) if is_chat(llm, template) else llm.plain_history + plain_prompt(question, "")
    return Prompt(ids=tuple(llm.encode(text)), max_new_tokens=max_new_tokens)


def text(llm: LanguageModel, asked: Sequence[int], new: Sequence[int], template: str | None) -> str:
    """What the model wrote, up to where a model without a chat asks itself the next question."""
    written = decode_answer(llm, asked, new)
    return (written if is_chat(llm, template) else written.partition(_NEXT_QUESTION)[0]).strip()
