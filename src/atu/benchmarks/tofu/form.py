"""Whether questions stand in a chat template or in plain text."""

from __future__ import annotations

from atu.errors import UserError
from atu.models.language_model import LanguageModel


def is_chat(llm: LanguageModel, template: str | None) -> bool:
    """Whether the chat template is used.

    Args:
        template: `data.template`; None takes the template where the tokenizer has one.

    Raises:
        UserError: it has none, and is told to use it.
    """
    if template == "chat" and not llm.has_template:
        raise UserError(f"The tokenizer of {llm.label} has no chat template: set data.template=plain, or leave it out.")
    return llm.has_template if template is None else template == "chat"
