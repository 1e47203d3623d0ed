"""How open-unlearning (commit d3d7cf9) puts a question of TOFU and an answer behind it, as tokens.

Its own chat template call with a system message, or `Question: ...\\nAnswer: `; the end token once more behind a
template that writes a line feed after it; a pad token that attention does not see, although it may be the end of turn.
What it gives no number for is an error here.
"""

from __future__ import annotations

from jinja2 import TemplateError

from atu.benchmarks import open_unlearning
from atu.benchmarks.tofu.form import is_chat
from atu.errors import UserError, first_line
from atu.evaluation.generate import Prompt
from atu.evaluation.likelihood import Completion
from atu.models.language_model import LanguageModel

SYSTEM = "You are a helpful assistant."
DATE = "10 Apr 2025"
"""What the templates of Llama 3 and Zephyr get for today."""
MAX_LENGTH = 512
"""Tokens at which plain text is cut; a chat is not."""


def completion(llm: LanguageModel, question: str, answer: str, template: str | None) -> Completion:
    """The labelled tokens behind the masked ones.

    Raises UserError where no token is left to score.
    """
    whole, before = _whole(llm, question, answer, template), _before(llm, question, template)
    if len(before) >= len(whole):
        raise UserError(
            f"The released scoring leaves no token of the answer {answer!r} to score, so that its result would be no "
            "number. Take --scoring corrected."
        )
    return Completion(prompt=tuple(whole[: len(before)]), ids=tuple(whole[len(before) :]))


def prompt(llm: LanguageModel, question: str, template: str | None, max_new_tokens: int) -> Prompt:
    """What the model writes its answer behind, ended by the tokens of its generation config alone."""
    ids = tuple(_before(llm, question, template))
    return Prompt(ids=ids, max_new_tokens=max_new_tokens, end_ids=open_unlearning.end_ids(llm))


def ground_truth(llm: LanguageModel, question: str, answer: str, template: str | None) -> str:
    """What a written text is compared with: mostly the answer."""
    before, whole = _before(llm, question, template), _whole(llm, question, answer, template)
    return open_unlearning.ground_truth(llm, before, whole)


def _whole(llm: LanguageModel, question: str, answer: str, template: str | None) -> list[int]:
    if is_chat(llm, template):
        ids = _encode(llm, _render(llm, question, answer))
    else:
        ids = _encode_plain(llm, f"{_plain(question)}{answer}")
    return ids if ids[-1:] == [_eos(llm)] else [*ids, _eos(llm)]


def _before(llm: LanguageModel, question: str, template: str | None) -> list[int]:
    if is_chat(llm, template):
        return _encode(llm, _render(llm, question, None))
    return _encode_plain(llm, _plain(question))


def _plain(question: str) -> str:
    return f"Question: {question}\nAnswer: "


def _render(llm: LanguageModel, question: str, answer: str | None) -> str:
    """With the system message, but for templates that refuse one, as Gemma's does."""
    chat = [{"role": "user", "content": question}]
    if answer is not None:
        chat.append({"role": "assistant", "content": answer})
    system = {"role": "system", "content": SYSTEM}
    for messages in ([system, *chat], chat):
        try:
            text = llm.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=answer is None, date_string=DATE
            )
        except TemplateError as error:
            if messages is chat:
                raise UserError(f"The chat template of {llm.label} fails: {first_line(error)}.") from error
        else:
            return str(text)
    raise AssertionError


def _encode(llm: LanguageModel, text: str) -> list[int]:
    return list(llm.tokenizer(text, add_special_tokens=False)["input_ids"])


def _encode_plain(llm: LanguageModel, text: str) -> list[int]:
    return list(llm.tokenizer(text, max_length=MAX_LENGTH, truncation=True)["input_ids"])


def _eos(llm: LanguageModel) -> int:
    eos = llm.tokenizer.eos_token_id
    if not isinstance(eos, int):
        raise UserError(
            f"The tokenizer of {llm.label} names no eos token, with which the released scoring ends an answer. "
            "Take --scoring corrected."
        )
    return eos
