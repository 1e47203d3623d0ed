"""A tokenizer's chat template, rendered alike every time: one date, thinking off unless it is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from atu.errors import UserError, first_line
from atu.models.config import CHAT_TEMPLATE_DATE, Scalar

_DIRECTIVES = (
    *(f"%{letter}" for letter in "aAbBcdDeFGhHIjmMpSTuUVwWxXyYzZ"),
    *(f"%-{letter}" for letter in "dmHIMSjy"),
)
_DATE_KEY = "atu_date"
# transformers hands a template plain data only and gives it `strftime_now` by itself. A macro of that name goes first.
# What it ends with keeps jinja from trimming the first line feed of the template behind it.
_FIXED_DATE = (
    "{%- macro strftime_now(format) -%}{%- set found = namespace(text=format) -%}"
    "{%- for directive, value in " + _DATE_KEY + ".items() -%}"
    "{%- set found.text = found.text | replace(directive, value) -%}{%- endfor -%}"
    "{{- found.text -}}{%- endmacro %}{{ '' }}"
)
_TEMPLATE_ERRORS = (ArithmeticError, AttributeError, LookupError, RecursionError, TemplateError, TypeError, ValueError)
"""What the code in a template can raise."""


@dataclass(frozen=True, kw_only=True)
class ChatSettings:
    """What a chat template is given besides the messages."""

    kwargs: Mapping[str, Scalar] = field(default_factory=dict)
    date: str = CHAT_TEMPLATE_DATE
    """Year-month-day: what a template that asks for today's date gets."""

    @property
    def given(self) -> dict[str, Scalar]:
        """All variables; a model that can think before it answers does not, unless it is told to."""
        return {"enable_thinking": False, **self.kwargs}

    @property
    def wants_thinking(self) -> bool:
        """Whether the user has switched thinking on, by one of the two names that templates have for it."""
        return bool(self.given["enable_thinking"] or self.given.get("thinking"))


def render_chat(
    tokenizer: PreTrainedTokenizerBase,
    settings: ChatSettings,
    messages: Sequence[Mapping[str, str]],
    generation_prompt: bool,
) -> str:
    """The conversation as text, up to where an answer begins or as it stands. Two calls give the same, also next year.

    Raises UserError, one line, when the template fails.
    """
    given = settings.given
    try:
        template = tokenizer.get_chat_template()
        if "strftime_now" in template:
            template = _FIXED_DATE + template
            given[_DATE_KEY] = _date_parts(settings.date)  # type: ignore[assignment]
        text = tokenizer.apply_chat_template(
            list(map(dict, messages)),
            chat_template=template,
            tokenize=False,
            add_generation_prompt=generation_prompt,
            **given,
        )
    except _TEMPLATE_ERRORS as error:
        label = tokenizer.name_or_path or "the tokenizer"
        raise UserError(f"The chat template of {label} fails: {first_line(error)}.") from error
    return str(text)


def _date_parts(date: str) -> dict[str, str]:
    """What each directive of strftime stands for."""
    day = datetime.fromisoformat(date)
    return {directive: day.strftime(directive) for directive in _DIRECTIVES} | {"%%": "%"}
