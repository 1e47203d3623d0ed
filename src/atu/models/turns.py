"""How an assistant's turn is written: what stands before an answer, what ends it; read off the chat template itself.

The template renders one conversation without the answer and with it; what differs is the turn. Training rows, scored
answers and prompts for writing are all made of the same parts, so that they are the same tokens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from atu.errors import UserError

_QUESTION, _ANSWER = "atu-question", "atu-answer"
_BLANKS = " \t\r\n"
_THINK_OPEN = re.compile(r"<think(?:ing)?>\s*$")
_EMPTY_THOUGHT_END = "\n</think>\n\n"
_ANSWER_MARK = re.compile(r"\s*(?:Answer|A):")


Render = Callable[[Sequence[Mapping[str, str]], bool], str]
"""A chat template with its settings: from messages, and whether a prompt for the answer follows, to text."""


@dataclass(frozen=True)
class TurnForm:
    """What a template writes around an assistant's answer."""

    opening: str
    """Behind the generation prompt and before the answer; it belongs to the prompt. Mostly empty: a header where the
    template has no generation prompt, or an empty thinking part."""
    space: str
    """Spaces before the answer that belong to it, as in Mistral's `[/INST] answer`."""
    left: str
    """Characters that the template strips from the beginning of an answer."""
    right: str
    """The same for its end."""
    closing: str
    """Between the answer and the token that ends the turn."""
    end: str | None
    """That token; None where the template writes no special token there."""

    def write(self, answer: str) -> str:
        """An answer as the template writes it, without what stands around it."""
        return answer.lstrip(_stripped(self.left)).rstrip(_stripped(self.right))


@dataclass(frozen=True)
class Turn:
    """A user's message and an assistant's answer as text."""

    head: str
    """All up to where the answer begins."""
    body: str
    """The answer with the space before it."""
    closing: str
    """What stands between the answer and the token that ends the turn."""


PLAIN_FORM = TurnForm(opening="", space=" ", left=_BLANKS, right="", closing="", end=None)
"""That of a model without a chat template: `Question: ...\\nAnswer: answer`, ended by the tokenizer's eos."""


def find_turn_form(render: Render, tokens: Sequence[str], label: str) -> TurnForm:
    """The form of an assistant's turn.

    Args:
        render: the chat template.
        tokens: what may end a turn: the tokenizer's special tokens and others that stand for themselves.
        label: of the tokenizer, for messages.

    Raises:
        UserError: the template leaves out question or answer.
    """
    user = {"role": "user", "content": _QUESTION}

    def around(answer: str) -> tuple[str, str]:
        whole = render([user, {"role": "assistant", "content": answer}], False)
        before, found, after = whole.rpartition(_ANSWER)
        if not found:
            raise UserError(f"The chat template of {label} leaves out what the assistant says. Mend or remove it.")
        return before, after

    asked = render([user], True)
    if _QUESTION not in asked:
        raise UserError(
            f"The chat template of {label} leaves out what the user says (is it empty?). Mend or remove it."
        )
    before, after = around(_ANSWER)
    opening = _opening(asked, before)
    bare = opening.rstrip(" ")
    places = [(place, -len(token), token) for token in tokens if token and (place := after.find(token)) >= 0]
    place, _, end = min(places, default=(0, 0, None))  # of several at one place the longest
    return TurnForm(
        opening=bare,
        space=opening[len(bare) :],
        left="".join(blank for blank in _BLANKS if around(blank + _ANSWER)[0] == before),
        right="".join(blank for blank in _BLANKS if around(_ANSWER + blank)[1] == after),
        closing=after[:place],
        end=end,
    )


def plain_prompt(user: str, begun: str) -> str:
    """What a model without a chat template is asked.

    `begun`: what the answer begins with. An "Answer:" there takes the place of the form's own.
    """
    if _ANSWER_MARK.match(begun):
        return user if user.endswith("\n") else f"{user}\n"
    return f"Question: {user}\nAnswer:"


def _opening(asked: str, before: str) -> str:
    """What a conversation has between the generation prompt and the answer."""
    if before.startswith(asked):
        return before[len(asked) :]
    # A prompt that begins to think, where a finished turn shows no thoughts: an empty thought leads to the answer.
    return _EMPTY_THOUGHT_END if asked.startswith(before) and _THINK_OPEN.search(asked) else ""


def _stripped(blanks: str) -> str | None:
    """As `str.strip` wants it: a template that strips all of these strips by `trim`, which knows further blanks."""
    return None if set(blanks) == set(_BLANKS) else blanks
